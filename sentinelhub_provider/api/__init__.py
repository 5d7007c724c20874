"""Sentinel Hub's vocabulary: paths, pages, request bodies. Pure: no I/O, no Airflow, no HTTP library."""
