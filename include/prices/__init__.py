"""What GPU-hours and tokens cost: ``prices.yaml`` here, and an administrator's file over it."""
