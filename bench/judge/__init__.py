"""Simulated canaries: how often each judge cries wolf, finds harm, and how soon. ``python -m bench.judge``."""
