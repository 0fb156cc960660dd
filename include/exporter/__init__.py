"""The one door by which Prometheus reads all that the platform measures."""
