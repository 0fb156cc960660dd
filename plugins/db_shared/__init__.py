"""What the plugins' own tables in Airflow's database have in common."""
