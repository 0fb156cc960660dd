"""How much GPU memory a model needs, before anyone waits for it: for serving and for training, with the reasons.

Pure: model facts in, an :class:`~include.estimate.serving.Estimate` or a verdict out. Only ``checkpoint.py``, ``onnx_file.py`` and
``model.py`` read files, and they read headers, never weights.
"""
