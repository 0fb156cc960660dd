"""How much of a real cluster's GPUs each policy gets to give out, and how fast."""
