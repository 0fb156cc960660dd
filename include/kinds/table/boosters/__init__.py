"""Gradient boosting by XGBoost, LightGBM and CatBoost: which of their types a stored model may hold, and their trees as ONNX."""
