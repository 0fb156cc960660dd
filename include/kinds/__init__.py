"""Kinds of model: one folder each, with their data, steps, bundle, probe, gate and canary."""
