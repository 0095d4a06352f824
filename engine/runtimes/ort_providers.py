"""ONNX Runtime's execution providers: their names for each runtime, and GPU sessions checked to run on the GPU."""

from __future__ import annotations

import hashlib
import io
from contextlib import redirect_stdout, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..contract import MATRIX_OPERATORS
from ..devices import cuda_driver, cuda_index
from ..errors import CacheError, RuntimeMissingError
from ..plans.cache import EngineCache
from ..requirements import INSTALL, REPAIR, one_line
from ..telemetry import import_silenced

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
TENSORRT_RTX = "NvTensorRTRTXExecutionProvider"
GPU_PROVIDERS = {"onnxruntime": CUDA, "onnxruntime-tensorrt": TENSORRT, "onnxruntime-tensorrt-rtx": TENSORRT_RTX}

_RTX_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"


def library() -> Any:
    """The ``onnxruntime`` module.

    Raises:
        RuntimeMissingError: ONNX Runtime is not installed, or damaged.
    """
    try:
        onnxruntime = import_silenced("onnxruntime")
    except ImportError:
        raise RuntimeMissingError(f"ONNX Runtime is not installed; install it with: {INSTALL['onnxruntime']}") from None
    if not hasattr(onnxruntime, "InferenceSession"):  # a remainder, after one of two packages was removed
        raise RuntimeMissingError(f"ONNX Runtime is damaged; repair it with: {REPAIR}")
    return onnxruntime


def usable_gpus(ort: Any, runtime: str) -> tuple[int, str]:
    """Number of GPUs that this runtime may run on, as far as is known without a session, and the reason if none."""
    gpus, why = cuda_driver()
    if not gpus:
        return 0, why
    if lack := missing_provider(ort, runtime):
        return 0, f"{lack}; change it with: {install_command(runtime)}"
    if GPU_PROVIDERS[runtime] != TENSORRT_RTX:
        return gpus, ""
    try:
        return len(_rtx_devices(ort)), "TensorRT for RTX supports none of the GPUs here"
    except RuntimeMissingError as error:
        return 0, one_line(error)


def missing_provider(ort: Any, runtime: str) -> str:
    """Message on what this ONNX Runtime lacks to run the runtime on a GPU; empty if it lacks nothing."""
    provider = GPU_PROVIDERS[runtime]
    if provider != TENSORRT_RTX:
        return "" if provider in ort.get_available_providers() else f"this ONNX Runtime has no {provider}"
    if find_spec(_RTX_PLUGIN) is None:
        return "ONNX Runtime's plug-in for TensorRT-RTX is not installed"
    if not hasattr(ort, "register_execution_provider_library"):
        return f"ONNX Runtime {ort.__version__} takes no plug-ins, 1.24 and newer do"
    return ""


def install_command(runtime: str) -> str:
    """The command that installs the runtime's GPU provider."""
    return INSTALL.get(f"{runtime} on CUDA", INSTALL[runtime])


def gpu_session(
    ort: Any, model: str | bytes, settings: Any, runtime: str, device: str, folder: Path | None = None
) -> Any:
    """An ``InferenceSession`` whose nodes are on the runtime's provider.

    TensorRT builds its engine at the first pass of a size, which takes minutes, and stores it in ``folder``. Its
    networks are strongly typed (no precision flag is set), so they run in the file's precision.

    Args:
        ort: the ``onnxruntime`` module.
        model: path of an ``.onnx`` file, or its bytes.
        settings: ``onnxruntime.SessionOptions``.
        runtime: a key of :data:`GPU_PROVIDERS`.
        device: ``"cuda:N"``.
        folder: folder of this model's engines, for the runtimes that build them.

    Raises:
        RuntimeMissingError: the provider does not start, or leaves the network to other providers.
        Exception: one of ONNX Runtime's own classes, for a file that it cannot load and for many other faults.
    """
    provider, index = GPU_PROVIDERS[runtime], cuda_index(device)
    settings.add_session_config_entry(_RECORD_PLACEMENT, "1")
    # Without enable_fallback=0, ONNX Runtime prints a line and replaces a provider that fails by the CPU's.
    said = ""
    if provider == TENSORRT_RTX:
        device_options = {"nv_runtime_cache_path": str(folder)}
        settings.add_provider_for_devices([_rtx_devices(ort)[index]], device_options)
        session = ort.InferenceSession(model, settings, enable_fallback=0)
    else:
        said = _load_cuda_libraries(ort)
        # TF32 would round the inputs of FP32 convolutions to 10 bits, which the caller has not asked for.
        chain: list[Any] = [(CUDA, {"device_id": index, "use_tf32": 0}), CPU]
        if provider == TENSORRT:
            with suppress(ImportError):  # a pip package whose libraries the provider finds once they are loaded
                import_module("tensorrt")
            engines = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder)}
            timings = {"trt_timing_cache_enable": True, "trt_timing_cache_path": str(folder)}
            chain.insert(0, (TENSORRT, {"device_id": index, **engines, **timings}))
        session = ort.InferenceSession(model, settings, providers=chain, enable_fallback=0)
    if provider not in session.get_providers():
        raise RuntimeMissingError(f"{provider} does not start" + (f": {said}" if said else ""))
    if problem := misplaced(session, provider):
        raise RuntimeMissingError(problem)
    return session


def misplaced(session: Any, provider: str) -> str:
    """The reason why a session does not really run on this provider, one of the session's providers; empty if it does.

    A provider that does not support a node silently leaves it to the next one, at worst to the CPU's. Shape arithmetic
    belongs on the CPU; convolutions and matrix products do not. Also empty if ONNX Runtime does not report a node's
    provider (before 1.24).
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return ""
    taken: dict[str, list[str]] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        taken.setdefault(subgraph.ep_name, []).extend(node.op_type for node in subgraph.get_nodes())
    on_cpu = sum(operator in MATRIX_OPERATORS for operator in taken.get(CPU, []))
    if on_cpu:
        return f"{provider} left {on_cpu} convolutions and matrix products to the CPU"
    return "" if taken.get(provider) else f"{provider} took no node of the network"


@cache
def _register_rtx(ort: Any) -> None:
    """Register the plug-in with ONNX Runtime, once in a process: a second time is an error."""
    try:
        plugin = import_module(_RTX_PLUGIN)
        ort.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    except Exception as error:  # ImportError, and ONNX Runtime's own classes
        raise RuntimeMissingError(
            f"ONNX Runtime's plug-in for TensorRT-RTX does not load: {one_line(error)}"
        ) from error


def _rtx_devices(ort: Any) -> list[Any]:
    _register_rtx(ort)
    return [device for device in ort.get_ep_devices() if device.ep_name == TENSORRT_RTX]


@cache
def _load_cuda_libraries(ort: Any) -> str:
    """Load CUDA and cuDNN from NVIDIA's pip packages, which ONNX Runtime does not search by itself.

    Returns:
        The text that ONNX Runtime printed about libraries that it did not find.
    """
    said = io.StringIO()
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(said):
            ort.preload_dlls()
    return " ".join(said.getvalue().split()).rstrip(".")


def engine_folder(runtime: str, source: Path) -> Path:
    """The folder in which TensorRT stores its engines of this file, beside the engine cache; made if missing.

    Each file has its own folder: TensorRT's provider names its engines by the graph, not by the weights, so in a shared
    folder a network could run with another network's engine.

    Raises:
        CacheError: the folder cannot be made.
    """
    folder = EngineCache().folder / runtime / hashlib.sha256(source.read_bytes()).hexdigest()[:24]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"cannot keep engines in {folder}: {error.strerror}. The environment variable MFP_CACHE_DIR names another "
            "folder"
        ) from error
    return folder
