"""How long Airflow's DAG processor takes to make the DAGs of many specs."""
