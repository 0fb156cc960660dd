"""The steps of a language model's lifecycle: base, extract, train, evaluate, optimize, verify."""
