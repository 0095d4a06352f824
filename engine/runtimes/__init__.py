"""One file a runtime; each offers ``open(source, device, threads) -> Network`` and imports its library when opened."""

# What brings a runtime onto a machine that lacks it.
INSTALL = {
    "onnxruntime": "pip install onnxruntime",
    "onnxruntime on CUDA": "pip uninstall -y onnxruntime; pip install onnxruntime-gpu",
    "torch": "pip install torch",
    "torch on CUDA": "pip uninstall -y torch; pip install torch",
}
REPAIR = "pip uninstall -y onnxruntime onnxruntime-gpu; pip install onnxruntime"
