"""Networks: the `Network` interface of one compiled MFP network on one runtime, and `load_network`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.device import Device
from .contract import PRECISIONS, NetworkInfo
from .devices import device_arrays
from .errors import NetworkError, OptionError
from .packaged import find, names
from .worker import Worker, Workers

F32 = NDArray[np.float32]

_LOCK = threading.Lock()  # guards creation of what a network keeps for its GPU


class Network(ABC):
    """A network ready to run. It holds no session state: any number of sessions can share one.

    Attributes:
        info: metadata of the file; ``info.precision`` is the precision that runs.
        runtime: name of the runtime, one of :data:`RUNTIMES`.
        device: name of the device, ``"cpu"`` or ``"cuda:N"``.
        choice: choice of ``"auto"`` and the reason, empty if nothing was left to it.
    """

    info: NetworkInfo
    runtime: str
    device: str
    choice: str = ""
    _lanes: dict[Device, Any] | None = None  # shared by the sessions on a device
    _workers: Workers | None = None

    @abstractmethod
    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        """Run one pass.

        Args:
            image: float32 N×3×H×W, RGB in [0, 1].
            prev_mask: float32 N×1×H×W, probability of the previous pass, in [0, 1].
            modulated_mask: float32 N×1×H×W, the same map modulated by the newest click.
            clicks: float32 N×2×H×W, disks of positive and of negative clicks.

        Returns:
            The logits, float32 N×1×H×W.

        Raises:
            NetworkError: the runtime cannot run the network on arrays of these sizes, or the logits break the contract.
        """

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        """Put one pass on arrays in the device's memory on a CUDA stream. Returns before the pass has run.

        Args:
            image, prev_mask, modulated_mask, clicks: arrays as for a call, on this network's GPU: any object with
                ``__cuda_array_interface__`` (CuPy, PyTorch, PyCUDA), float32, C-contiguous. The caller owns them and
                keeps them alive and unchanged until the stream has passed this point.
            logits: array N×1×H×W of the same kind; the pass writes into it. Its values are not checked.
            stream: raw handle (``cudaStream_t``) of the stream.

        Raises:
            OptionError: the network runs on the CPU, or an array has another kind, type, shape or layout.
            NetworkError: the runtime refused the pass.
        """
        if self.device == "cpu":
            raise self._not_on_gpu()
        device_arrays(image, prev_mask, modulated_mask, clicks, logits)
        # Threads run in parallel, and so do streams: each has its own worker.
        with _LOCK:
            if self._workers is None:
                self._workers = Workers()
            mine = self._workers.by_stream
        if stream not in mine:
            mine[stream] = self.worker()
        mine[stream].enqueue(image, prev_mask, modulated_mask, clicks, logits, stream)

    def worker(self) -> Worker:
        """Create a :class:`Worker` in the CUDA context that is current in this thread.

        Raises:
            OptionError: the network runs on the CPU, or in another CUDA context.
            NetworkError: the runtime cannot create one, for example for lack of memory.
        """
        raise self._not_on_gpu()

    def close(self) -> None:
        """Release the resources that clicks and passes on a GPU keep for the next ones, which then create them again.

        The weights are freed with the network itself. No session may be running.
        """
        with _LOCK:
            self._lanes = self._workers = None

    def shared_on(self, device: Device, make: Callable[[Device], Any]) -> Any:
        """An object shared by the sessions on a device, made once per device: see :mod:`mfp.engine.pipelines.lane`."""
        # Kept here, so that it is freed with the network: a global table of networks would keep them alive.
        with _LOCK:
            if self._lanes is None:
                self._lanes = {}
            if device not in self._lanes:
                self._lanes[device] = make(device)
            return self._lanes[device]

    def not_finite(self) -> str:
        """Message for logits that are infinite or NaN."""
        return f"{self!r} gave logits that are not finite: its weights are damaged, or overflow"

    def _not_on_gpu(self) -> OptionError:
        return OptionError(
            f"{self!r} runs on the CPU and takes no arrays in a GPU's memory: call it with NumPy arrays, "
            'or load the network with device="cuda:0"'
        )

    def _checked(self, logits: F32, image: F32) -> F32:
        """Validate logits against the contract, so that a broken network raises instead of producing a wrong mask."""
        expected = (len(image), 1, *image.shape[2:])
        if logits.dtype != np.float32 or logits.shape != expected:
            raise NetworkError(
                f"{self!r} gave logits of {logits.dtype} {logits.shape}, expected float32 {expected}. Export it again."
            )
        if not np.isfinite(logits).all():
            raise NetworkError(self.not_finite())
        return logits

    def __repr__(self) -> str:
        size = "any size" if self.info.size is None else "{}×{}".format(*self.info.size)
        return f"<{type(self).__name__} {self.info.backbone} {size} {self.info.precision} on {self.device}>"


@dataclass(frozen=True)
class Options:
    """Options of a runtime; see :func:`load_network`.

    Attributes:
        runtime: name from :data:`RUNTIMES`; ``"auto"`` only for a plan, which records the runtime it was built for.
        device: name of the device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        threads: number of CPU threads of one pass, None for the runtime's own choice.
        precision: name of the precision: ``"fp32"``, ``"fp16"``, ``"bf16"``, or None for the file's own.
    """

    runtime: str
    device: str = "auto"
    threads: int | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Runtime:
    """A runtime that can run networks.

    Attributes:
        module: name of the module in ``runtimes/``, with ``open(source, options: Options) -> Network``. It stores in
            ``network.choice`` the reason for an automatic device; :func:`load_network` puts its own choice in front.
        opens: suffixes of the files it opens, or :data:`MODULE`.
        library: name of the Python module that it requires.
    """

    module: str
    opens: tuple[str, ...]
    library: str


MODULE = "module"  # in place of a file suffix: a PyTorch module
PLAN = ".plan"

RUNTIMES = {
    "onnxruntime": Runtime("onnx_runtime", (".onnx",), "onnxruntime"),
    "onnxruntime-tensorrt": Runtime("onnx_runtime", (".onnx",), "onnxruntime"),
    "onnxruntime-tensorrt-rtx": Runtime("onnx_runtime", (".onnx",), "onnxruntime"),
    "openvino": Runtime("openvino", (".onnx",), "openvino"),
    "tensorrt": Runtime("tensorrt", (PLAN, ".onnx"), "tensorrt"),
    "tensorrt-rtx": Runtime("tensorrt", (PLAN, ".onnx"), "tensorrt_rtx"),
    "torch": Runtime("pytorch", (".pth", ".pt", MODULE), "torch"),
    "torch-compile": Runtime("pytorch", (".pth", ".pt", MODULE), "torch"),
}
AUTO = ("onnxruntime", "openvino", "torch")  # "auto" takes the first of these that opens the file and is installed

MAX_THREADS = 1024


def load_network(
    source: Any,
    runtime: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    precision: str | None = None,
) -> Network:
    """Open a network.

    Args:
        source: ``"lite0"``, the network that ships with the package; the path of an ``.onnx`` file, of a ``.plan``
            written by ``mfp build``, or of an authors' ``.pth`` checkpoint; or a PyTorch module from
            :func:`mfp.export.models.build`.
        runtime: ``"auto"`` or a name from :data:`RUNTIMES`. ``"auto"`` runs an ``.onnx`` file on ONNX Runtime if it is
            installed, else on OpenVINO, a plan on the TensorRT it was built for, and everything else on PyTorch.
            ``"tensorrt"`` and ``"tensorrt-rtx"`` build the plan of an ``.onnx`` file through the engine cache.
        device: ``"auto"`` (a CUDA GPU if the runtime can use one, else the CPU), ``"cpu"`` or ``"cuda:N"``.
        threads: number of CPU threads of one pass; None leaves it to the runtime (all cores).
        precision: arithmetic inside the network, ``"fp32"``, ``"fp16"`` or ``"bf16"``; None keeps the file's own.
            PyTorch runs all three, OpenVINO an fp32 file in bf16. On the others the file decides, and ``"fp16"``
            selects the FP16 file of the packaged network.

    Returns:
        The network; its ``choice`` reports what ``"auto"`` chose, and why.

    Raises:
        NetworkError: the file is missing, of another kind, or breaks the contract; or no packaged network has this
            name.
        RuntimeMissingError: the runtime, the device or the precision is not usable here; ``mfp doctor`` lists usable
            ones.
        OptionError: the runtime, device or precision is unknown, the number of threads is below 1, or this runtime
            cannot change to the precision.
    """
    if runtime not in ("auto", *RUNTIMES):
        raise OptionError(f'unknown runtime {runtime!r}; expected "auto" or one of {", ".join(RUNTIMES)}')
    _check_device(device)
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MAX_THREADS):
        raise OptionError(f"expected a number of threads from 1 to {MAX_THREADS}, got {threads!r}")
    if precision not in (None, *PRECISIONS):
        raise OptionError(f"unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}")

    if isinstance(source, (str, Path)):
        source = find(source, ".pth" if runtime.startswith("torch") else ".onnx", precision)
    source, kind = _source_and_kind(source)
    able = [name for name, entry in RUNTIMES.items() if kind in entry.opens]
    if runtime not in ("auto", *able):
        raise NetworkError(
            f"{'a PyTorch module' if kind == MODULE else source} runs on {', '.join(able)}, not on {runtime}. "
            + ("Export it first: mfp export" if "torch" in able else "PyTorch takes the .pth checkpoint.")
        )
    by_us = runtime == "auto" and kind != PLAN  # a plan records its own runtime
    chosen, why = _choose_runtime(able, device) if by_us else (runtime, "")
    module = import_module(f".runtimes.{RUNTIMES[able[0] if chosen == 'auto' else chosen].module}", __package__)
    open_network: Callable[[Any, Options], Network] = module.open
    network = open_network(source, Options(chosen, device, threads, precision))
    if "auto" in (runtime, device):
        reasons = "; ".join(filter(None, (why, network.choice)))
        place = "the CPU" if network.device == "cpu" else network.device
        network.choice = f"{network.runtime} on {place}" + (f": {reasons}" if reasons else "")
    return network


def check_precision(file: str, info: NetworkInfo, options: Options) -> None:
    """Refuse a precision other than the file's own, on runtimes where the file decides.

    Raises:
        OptionError: the precision differs; the message states how to make such a file.
    """
    if options.precision in (None, info.precision):
        return
    remedy = "Load the fp32 file that it was made from"
    if options.precision != "fp32":
        origin = file if info.precision == "fp32" and file.endswith(".onnx") else "FILE.onnx"
        remedy = f"Make such a file with: mfp convert {origin} --precision {options.precision}"
    raise OptionError(
        f"{file} is {info.precision}, which {options.runtime} does not change; asked for {options.precision}. {remedy}"
    )


def _source_and_kind(source: Any) -> tuple[Any, str]:
    """The source (text becomes a path) and its file's suffix, or MODULE."""
    if not isinstance(source, (str, Path)):
        if hasattr(source, "forward") and hasattr(source, "spec"):
            return source, MODULE
        raise NetworkError(f"expected a path or a module of mfp.export.models, got {type(source).__name__}")
    path = Path(source)
    suffix = path.suffix.lower()
    if path.is_dir():
        raise NetworkError(f"expected a network file, got a folder: {path}")
    if not path.is_file() and not suffix:
        raise NetworkError(
            f"no such file, and no such network in the package: {path}; packaged are {', '.join(names())}. "
            "Network files end in .onnx, .plan or .pth"
        )
    if not path.is_file():
        raise NetworkError(
            f"no such file: {path}. Export a network with: mfp export --backbone hrnet18 --output {path.name}"
        )
    endings = dict.fromkeys(ending for entry in RUNTIMES.values() for ending in entry.opens if ending != MODULE)
    if suffix not in endings:
        raise NetworkError(f"{path}: expected a file ending in {', '.join(endings)}, got {suffix!r}")
    return path, suffix


def _choose_runtime(able: list[str], device: str) -> tuple[str, str]:
    """The first installed runtime of AUTO, and the reason if it is not the first in AUTO."""
    # OpenVINO supports no CUDA device; if one is requested, the message must be about the runtime that does.
    candidates = [name for name in AUTO if name in able and not (name == "openvino" and device.startswith("cuda"))]
    for name in candidates:
        if find_spec(RUNTIMES[name].library) is not None:
            return name, "" if name == candidates[0] else f"{candidates[0]} is not installed"
    return candidates[0], ""  # opening it raises the error that states how to install it


def _check_device(device: str) -> None:
    if not isinstance(device, str):
        raise OptionError(f'expected a device like "auto", "cpu" or "cuda:0", got {device!r}')
    kind, _, number = device.partition(":")
    if device not in ("auto", "cpu") and not (kind == "cuda" and (number.isdecimal() or device == "cuda")):
        raise OptionError(f'unknown device {device!r}; expected "auto", "cpu" or "cuda:0"')
