"""Finds out which runtimes and devices this machine offers to the engine."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from .devices import cuda_driver
from .runtimes import INSTALL, REPAIR


class Finding(NamedTuple):
    """One runtime on one kind of device: usable or not, and why; ``remedy`` is the command that would change it."""

    runtime: str
    device: str
    usable: bool
    detail: str
    remedy: str = ""


# The package's name differs from system to system, so the way to it is named in place of one command.
DRIVER_REMEDY = "install NVIDIA's driver (Debian, Ubuntu: apt install nvidia-driver; nvidia-smi must list a GPU)"
CUDA_LIBRARIES_REMEDY = "pip install 'onnxruntime-gpu[cuda,cudnn]'"


def examine() -> list[Finding]:
    """All runtimes that this version of the engine can use, tried out here; CPU before GPU."""
    return [*_onnxruntime(), *_torch()]


def _onnxruntime() -> list[Finding]:
    library, problem = _import("onnxruntime")
    if library is None:
        return [
            Finding("onnxruntime", "cpu", False, problem, INSTALL["onnxruntime"]),
            Finding("onnxruntime", "cuda", False, problem, INSTALL["onnxruntime on CUDA"]),
        ]
    if not hasattr(library, "InferenceSession"):  # what is left where one of the two packages was removed
        return [Finding("onnxruntime", device, False, "damaged", REPAIR) for device in ("cpu", "cuda")]
    version = f"ONNX Runtime {library.__version__}"
    cpu = Finding("onnxruntime", "cpu", True, version)
    problem = _provider_problem(library, "CPUExecutionProvider")
    if problem:
        cpu = Finding("onnxruntime", "cpu", False, problem, INSTALL["onnxruntime"])
    if "CUDAExecutionProvider" not in library.get_available_providers():
        return [cpu, _without_cuda("onnxruntime", version, INSTALL["onnxruntime on CUDA"])]
    gpus, problem = cuda_driver()
    remedy = DRIVER_REMEDY
    if gpus:
        problem, remedy = _provider_problem(library, "CUDAExecutionProvider"), CUDA_LIBRARIES_REMEDY
    return [cpu, Finding("onnxruntime", "cuda", not problem, problem or version, remedy if problem else "")]


def _torch() -> list[Finding]:
    library, problem = _import("torch")
    if library is None:
        return [Finding("torch", device, False, problem, INSTALL["torch"]) for device in ("cpu", "cuda")]
    version = f"PyTorch {library.__version__}"
    cpu = Finding("torch", "cpu", True, version)
    if library.version.cuda is None:
        return [cpu, _without_cuda("torch", version, INSTALL["torch on CUDA"])]
    gpus, problem = cuda_driver()
    remedy = DRIVER_REMEDY
    if gpus:
        remedy = INSTALL["torch on CUDA"]
        try:
            library.zeros(1, device="cuda").add_(1)
        except Exception as error:  # RuntimeError and its kin, depending on what is broken
            problem = str(error)
    return [cpu, Finding("torch", "cuda", not problem, problem or version, remedy if problem else "")]


def _without_cuda(runtime: str, version: str, install: str) -> Finding:
    gpus, why = cuda_driver()
    detail = f"{version} was built without CUDA" + (f"; {why}" if why else "")
    return Finding(runtime, "cuda", False, detail, install if gpus else f"{DRIVER_REMEDY}, then: {install}")


def _provider_problem(library: Any, provider: str) -> str:
    """Empty where a network of one node runs on the provider. Listed is not yet usable: CUDA libraries load late."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        session = library.InferenceSession(model.SerializeToString(), providers=[provider])
        session.run(None, {"x": [1.0]})
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
        return f"does not run: {error}"
    return "" if provider in session.get_providers() else f"{provider} does not start (its libraries do not load)"


def _import(name: str) -> tuple[Any, str]:
    """The module, or None and why not: a library can be there and still fail to load."""
    if find_spec(name) is None:
        return None, "not installed"
    try:
        return import_module(name), ""
    except Exception as error:  # a broken binary package can raise anything
        return None, f"installed, but does not load: {error}"
