"""What decides and what works. Never imports Airflow."""
