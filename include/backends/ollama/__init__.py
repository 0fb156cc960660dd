"""Ollama: its part of the spec, and the program that makes a model of a GGUF file and serves it."""
