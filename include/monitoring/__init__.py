"""How production is watched between trials: harm (loss), the estimate of it without labels, change, and what arrives."""
