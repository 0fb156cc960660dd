"""Inference servers: one folder each, and the contract they keep."""
