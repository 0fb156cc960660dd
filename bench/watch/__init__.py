"""Simulated champions that are watched: how long callers get bad answers, how often a good one is taken out. ``python -m bench.watch``."""
