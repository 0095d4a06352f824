"""ONNX export: the PyTorch networks, a reader for the authors' checkpoint files, the exporter and the converter."""
