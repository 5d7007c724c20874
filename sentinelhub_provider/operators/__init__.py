"""Operators for Sentinel Hub. Airflow parses every DAG file again and again, so they are cheap to import."""
