"""The steps of a table model's lifecycle: extract, train, evaluate, optimize, verify."""
