"""The steps of a tensor model's lifecycle: extract, train, evaluate, optimize, verify."""
