"""Code that runs inside Airflow's own processes."""
