"""What kinds that are served as ONNX share: the faster forms of a model, how they are timed, and which one is served."""
