"""Settings, the supervisor, credentials and Airflow's own API: below everything else."""
