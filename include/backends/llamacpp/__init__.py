"""llama.cpp: its server, its client for steps, and GGUF."""
