"""What GPUs there are, one adapter a source: NVML on this machine, a Kubernetes cluster, a declared (simulated) file. And the agent that
tells the pool what an adapter reads."""
