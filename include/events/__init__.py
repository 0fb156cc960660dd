"""News of models' data that begin runs: their signatures, and why a run began, in words."""
