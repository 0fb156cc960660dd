"""What a run of the lifecycle costs beyond the work itself."""
