"""Who gets which GPU, when and why: queue, quotas, backfill, preemption and leases as one state machine. Pure: time is an argument."""
