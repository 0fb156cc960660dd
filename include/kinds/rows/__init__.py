"""What kinds that learn from rows share: which rows are held out, what a model answers to rows, and the figures of that."""
