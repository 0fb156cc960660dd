"""vLLM: its server, its client for steps, and the forms it is quantised into."""
