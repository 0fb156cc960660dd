"""Estimators on rows of named columns."""
