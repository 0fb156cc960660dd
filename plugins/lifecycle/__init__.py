"""Airflow's side of the lifecycle: operators, triggers, links, the plugin's tables and REST API."""
