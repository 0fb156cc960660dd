"""What user code may reach on this machine: one place that wraps a command, whoever starts it."""
