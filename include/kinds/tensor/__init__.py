"""Models of named tensors: a network of PyTorch, or an ONNX file that is brought, with the code around it."""
