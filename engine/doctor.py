"""Diagnosis of the machine: runtimes and devices that the engine can use."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from .devices import cuda_driver
from .errors import MfpError
from .requirements import INSTALL, REPAIR, one_line
from .telemetry import import_silenced


class Finding(NamedTuple):
    """One runtime on one kind of device: whether it is usable, the reason if not, and the command that fixes it
    (``remedy``).
    """

    runtime: str
    device: str
    usable: bool
    detail: str
    remedy: str = ""


# The driver's package name differs between systems, so the remedy describes the step rather than one command.
DRIVER_REMEDY = "install NVIDIA's driver (Debian, Ubuntu: apt install nvidia-driver; nvidia-smi must list a GPU)"
CUDA_LIBRARIES_REMEDY = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
COMPILER_REMEDY = "install a C++ compiler (Debian, Ubuntu: apt install g++)"
OLDEST_TENSORRT = (10, 12)  # first version with strong typing in every layer that the engine needs


def examine() -> list[Finding]:
    """Try out all runtimes that this version of the engine supports, in the order of ``network.RUNTIMES``."""
    return [*_onnxruntime(), *_openvino(), *_tensorrt("tensorrt"), *_tensorrt("tensorrt-rtx"), *_torch()]


def has_compiler() -> bool:
    """Whether torch.compile finds a C++ compiler, which it needs on a CPU."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++", "cl"))


def array_work() -> Finding:
    """Check whether the array work of clicks can run on a GPU: compile the kernels and run one."""
    what = "array work of clicks"
    library, problem = _import("cupy")
    if library is None:
        return _without_cuda(what, f"CuPy is {problem}", INSTALL["cupy"])
    version = f"CuPy {library.__version__}"
    gpus, no_gpu = cuda_driver()
    if not gpus:
        return Finding(what, "cuda", False, f"{version}; {no_gpu}", DRIVER_REMEDY)

    def run() -> None:
        from ..kernels.clicks import Click
        from ..kernels.cuda import encode_clicks

        encode_clicks([Click(1, 1)], 4, 4)

    problem = _problem(run)
    return Finding(what, "cuda", not problem, problem or version, INSTALL["cupy"] if problem else "")


def _onnxruntime() -> list[Finding]:
    from .runtimes.ort_providers import GPU_PROVIDERS, install_command

    library, problem = _import("onnxruntime")
    if library is not None and not hasattr(library, "InferenceSession"):  # remains of a package that was removed
        problem = "damaged"
    if problem:
        remedies = {"cpu": INSTALL["onnxruntime"], **{runtime: install_command(runtime) for runtime in GPU_PROVIDERS}}
        if problem == "damaged":
            remedies = dict.fromkeys(remedies, REPAIR)
        on_cuda = [Finding(runtime, "cuda", False, problem, remedies[runtime]) for runtime in GPU_PROVIDERS]
        return [Finding("onnxruntime", "cpu", False, problem, remedies["cpu"]), *on_cuda]
    version = f"ONNX Runtime {library.__version__}"
    problem = _problem(lambda: library.InferenceSession(_probe(), providers=["CPUExecutionProvider"]))
    cpu = Finding("onnxruntime", "cpu", not problem, problem or version, INSTALL["onnxruntime"] if problem else "")
    return [cpu, *(_onnxruntime_on_cuda(library, version, runtime) for runtime in GPU_PROVIDERS)]


def _onnxruntime_on_cuda(library: Any, version: str, runtime: str) -> Finding:
    from .runtimes.ort_providers import CUDA, GPU_PROVIDERS, gpu_session, install_command, missing_provider

    if problem := missing_provider(library, runtime):
        return _without_cuda(runtime, problem, install_command(runtime))
    gpus, no_gpu = cuda_driver()
    if not gpus:
        return Finding(runtime, "cuda", False, f"{version}; {no_gpu}", DRIVER_REMEDY)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            session = gpu_session(library, _probe(), library.SessionOptions(), runtime, "cuda:0", Path(folder))
            session.run(None, {"x": [1.0]})

    problem = _problem(run)
    remedy = CUDA_LIBRARIES_REMEDY if GPU_PROVIDERS[runtime] == CUDA else install_command(runtime)
    return Finding(runtime, "cuda", not problem, problem or version, remedy if problem else "")


def _openvino() -> list[Finding]:
    library, problem = _import("openvino")
    if library is None:
        return [Finding("openvino", "cpu", False, problem, INSTALL["openvino"])]
    from .runtimes.openvino import core, has_bf16

    problem = _problem(lambda: core().compile_model(core().read_model(_probe()), "CPU"))
    if problem:
        return [Finding("openvino", "cpu", False, problem, INSTALL["openvino"])]
    bf16 = "fp32 and bf16" if has_bf16() else "fp32; this processor has no bf16"
    return [Finding("openvino", "cpu", True, f"OpenVINO {library.__version__.partition('-')[0]}: {bf16}")]


def _tensorrt(runtime: str) -> list[Finding]:
    from .network import RUNTIMES
    from .plans.flavour import Flavour, why_not_on_this_gpu

    library, problem = _import(RUNTIMES[runtime].library)
    remedy = INSTALL[runtime]
    if library is not None:
        version = f"{runtime} {library.__version__}"
        gpus, no_gpu = cuda_driver()
        numbers = tuple(int(number) for number in re.findall(r"\d+", library.__version__)[:2])
        if runtime == "tensorrt" and numbers < OLDEST_TENSORRT:
            oldest = ".".join(map(str, OLDEST_TENSORRT))
            problem, remedy = f"{version} is too old, {oldest} is needed", f"pip install 'tensorrt>={oldest}'"
        elif not gpus:
            problem, remedy = f"{version} builds plans here, but runs none: {no_gpu}", DRIVER_REMEDY
        elif problem := _problem(lambda: library.Runtime(library.Logger(library.Logger.ERROR)).max_threads):
            problem = f"{version}: {problem}"
        elif runtime == "tensorrt-rtx" and (problem := why_not_on_this_gpu(Flavour(runtime, library))):
            remedy = INSTALL["tensorrt"]
        elif find_spec("cupy") is None:
            problem, remedy = f"{version}, but CuPy is not installed", INSTALL["cupy"]
    return [Finding(runtime, "cuda", not problem, problem or version, remedy if problem else "")]


def _torch() -> list[Finding]:
    runtimes = ("torch", "torch-compile")
    library, problem = _import("torch")
    if library is None:
        return [
            Finding(name, device, False, problem, INSTALL["torch"]) for name in runtimes for device in ("cpu", "cuda")
        ]
    version = f"PyTorch {library.__version__}"
    if library.version.cuda is None:
        cuda = _without_cuda("torch", f"{version} was built without CUDA", INSTALL["torch on CUDA"])
    else:
        gpus, problem = cuda_driver()
        remedy = INSTALL["torch on CUDA"] if gpus else DRIVER_REMEDY
        problem = problem or _problem(lambda: library.zeros(1, device="cuda").add_(1))
        cuda = Finding("torch", "cuda", not problem, problem or version, remedy if problem else "")
    compiled = Finding("torch-compile", "cpu", True, version)
    if not has_compiler():
        compiled = Finding("torch-compile", "cpu", False, f"{version} finds no C++ compiler", COMPILER_REMEDY)
    compiled_cuda = cuda._replace(runtime="torch-compile")
    if cuda.usable and find_spec("triton") is None:
        compiled_cuda = Finding(
            "torch-compile", "cuda", False, f"{version}, but Triton is not installed", "pip install triton"
        )
    return [Finding("torch", "cpu", True, version), cuda, compiled, compiled_cuda]


def _without_cuda(runtime: str, lack: str, install: str) -> Finding:
    """Finding for a library without CUDA support; a missing driver is reported first."""
    gpus, no_gpu = cuda_driver()
    remedy = install if gpus else f"{DRIVER_REMEDY}, then: {install}"
    return Finding(runtime, "cuda", False, f"{lack}; {no_gpu}" if no_gpu else lack, remedy)


def _probe() -> bytes:
    """An ONNX network of one node. It finds providers that are listed but unusable, as CUDA's libraries load late."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _problem(attempt: Callable[[], Any]) -> str:
    """Run ``attempt``; return the reason if it fails, else an empty text."""
    try:
        attempt()
    except MfpError as error:
        return one_line(error)
    except Exception as error:  # every library raises its own unrelated classes
        return f"does not run: {one_line(error)}"
    return ""


def _import(name: str) -> tuple[Any, str]:
    """Import a module. Return it, or None and the reason: an installed library can still fail to load."""
    if find_spec(name) is None:
        return None, "not installed"
    try:
        return import_silenced(name), ""
    except Exception as error:  # a broken binary package can raise anything
        return None, f"installed, but does not load: {one_line(error)}"
