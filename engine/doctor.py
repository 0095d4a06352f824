"""Finds out which runtimes and devices this machine offers to the engine."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from .devices import cuda_driver


class Finding(NamedTuple):
    """One runtime on one kind of device: usable or not, and why; ``remedy`` is the command that would change it."""

    runtime: str
    device: str
    usable: bool
    detail: str
    remedy: str = ""


CPU_INSTALL = "pip install 'mfp-engine[cpu]'"
GPU_INSTALL = "pip uninstall onnxruntime && pip install 'mfp-engine[gpu]'"
TORCH_INSTALL = "pip install 'mfp-engine[export]'"
DRIVER_REMEDY = "install NVIDIA's driver (nvidia-smi must list a GPU)"


def examine() -> list[Finding]:
    """All runtimes that this version of the engine can use, tried out here; CPU before GPU."""
    return [*_onnxruntime(), *_torch()]


def _onnxruntime() -> list[Finding]:
    library, problem = _import("onnxruntime")
    if library is None:
        return [
            Finding("onnxruntime", "cpu", False, problem, CPU_INSTALL),
            Finding("onnxruntime", "cuda", False, problem, GPU_INSTALL),
        ]
    version = f"ONNX Runtime {library.__version__}"
    gpus, why = cuda_driver()
    if "CUDAExecutionProvider" not in library.get_available_providers():
        remedy = GPU_INSTALL if gpus else f"{DRIVER_REMEDY}, then: {GPU_INSTALL}"
        cuda = Finding(
            "onnxruntime",
            "cuda",
            False,
            f"{version} was built without CUDA" + (f"; {why}" if why else ""),
            remedy,
        )
    elif gpus == 0:
        cuda = Finding("onnxruntime", "cuda", False, why, DRIVER_REMEDY)
    else:
        cuda = Finding("onnxruntime", "cuda", True, f"{version}, {gpus} GPU(s)")
    return [Finding("onnxruntime", "cpu", True, version), cuda]


def _torch() -> list[Finding]:
    library, problem = _import("torch")
    if library is None:
        return [Finding("torch", device, False, problem, TORCH_INSTALL) for device in ("cpu", "cuda")]
    version = f"PyTorch {library.__version__}"
    gpus, why = cuda_driver()
    if library.cuda.is_available():
        cuda = Finding("torch", "cuda", True, f"{version}, {library.cuda.get_device_name(0)}")
    elif library.version.cuda is None:
        remedy = "pip install torch, a build for CUDA"
        if not gpus:
            remedy = f"{DRIVER_REMEDY}, then: {remedy}"
        cuda = Finding(
            "torch", "cuda", False, f"{version} was built without CUDA" + (f"; {why}" if why else ""), remedy
        )
    else:
        cuda = Finding("torch", "cuda", False, why or "PyTorch finds no CUDA GPU", DRIVER_REMEDY)
    return [Finding("torch", "cpu", True, version), cuda]


def _import(name: str) -> tuple[Any, str]:
    """The module, or None and why not: a library can be there and still fail to load."""
    if find_spec(name) is None:
        return None, "not installed"
    try:
        return import_module(name), ""
    except Exception as error:  # a broken binary package can raise anything
        return None, f"installed, but does not load: {error}"
