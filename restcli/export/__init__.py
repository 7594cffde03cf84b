"""Weights as files that other programs run: ONNX graphs, and C for small devices."""
