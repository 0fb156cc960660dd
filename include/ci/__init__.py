"""Continuous integration of models: a commit's spec is checked, a run is begun and waited for, and a comment says what it came to."""
