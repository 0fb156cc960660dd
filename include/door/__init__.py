"""The door before MLflow: user code reaches its own run through it, and nothing else."""
