"""Desired against actual: what shall run, what is looked at, and the step that drives one to the other.

Why so: docs/decisions/0035-serving-control.md.
"""
