"""What runs inside Airflow's own processes."""
