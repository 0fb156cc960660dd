"""The search for hyperparameters: what is tried next, what is given up, which is the best, and how much better it really is."""
