"""Install commands for missing runtimes, for errors and `mfp doctor`."""

from __future__ import annotations

INSTALL = {
    "onnxruntime": "pip install onnxruntime",
    "onnxruntime on CUDA": "pip uninstall -y onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]'",
    "onnxruntime-tensorrt": (
        "pip uninstall -y onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]' 'tensorrt-cu13>=10,<11'"
    ),
    "onnxruntime-tensorrt-rtx": (
        "pip uninstall -y onnxruntime-gpu; pip install 'onnxruntime>=1.24' onnxruntime-ep-nv-tensorrt-rtx"
    ),
    "cupy": "pip install cupy-cuda13x",
    "openvino": "pip install openvino",
    "tensorrt": "pip install tensorrt",
    "tensorrt-rtx": "pip install tensorrt-rtx",
    "torch": "pip install torch",
    "torch on CUDA": "pip uninstall -y torch; pip install torch",
}
REPAIR = "pip uninstall -y onnxruntime onnxruntime-gpu; pip install onnxruntime"


def one_line(error: BaseException) -> str:
    """A library's message as part of a sentence: without line breaks and without its full stop."""
    return " ".join(str(error).split()).rstrip(".")
