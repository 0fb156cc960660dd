"""How fast GPUs are given out and taken back over HTTP, by a real Airflow API server, on each database."""
