"""Models as TensorRT plans: the ONNX in the arithmetic wanted, the plan built for one kind of GPU, and the plan run."""
