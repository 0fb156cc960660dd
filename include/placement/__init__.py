"""Which node and which GPUs a request gets, and why: filters, then a policy's score. Pure: no clock, no network, no global state."""
