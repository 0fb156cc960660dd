"""What Prometheus watches for, and what follows from an alert."""
