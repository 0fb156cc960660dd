"""Airflow's side of the GPU pool: tables, broker, REST API, page, operators and triggers."""
