"""Airflow's way to Sentinel Hub."""
