"""How long requests wait for GPUs by priority, and what preemption costs, on a real cluster's arrivals."""
