"""From an MFP checkpoint to an ONNX file: PyTorch networks, the authors' checkpoint files, the exporter."""
