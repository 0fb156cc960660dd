"""Airflow's own components, as the platform runs them: ready before they fork, awake when there is work, at rest when there is none."""
