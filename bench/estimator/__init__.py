"""The memory estimator beside measured rows: ``python -m bench.estimator``."""
