"""What a month has cost: GPU-hours by run, model and team out of the pool's leases, tokens by key and model out of the gateway's log."""
