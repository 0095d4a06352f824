"""Networks: one compiled MFP network on one runtime, and how to load one."""

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

_LOCK = threading.Lock()  # making what a network keeps for its GPU


class Network(ABC):
    """A network ready to run. It holds no state of a session: share one between as many sessions as you like.

    Attributes:
        info: what the file says of itself; ``info.precision`` is the precision that runs.
        runtime: one of :data:`RUNTIMES`.
        device: ``"cpu"`` or ``"cuda:N"``.
        choice: what ``"auto"`` chose and why, empty where nothing was left to it.
    """

    info: NetworkInfo
    runtime: str
    device: str
    choice: str = ""
    _lanes: dict[Device, Any] | None = None  # what sessions on a device share
    _workers: Workers | None = None

    @abstractmethod
    def __call__(self, image: F32, prev_mask: F32, modulated_mask: F32, clicks: F32) -> F32:
        """One pass.

        Args:
            image: N×3×H×W, RGB in [0, 1].
            prev_mask: N×1×H×W, probability of the pass before, in [0, 1].
            modulated_mask: N×1×H×W, the same modulated by the newest click.
            clicks: N×2×H×W, disks of positive and of negative clicks.

        Returns:
            logits, float32 N×1×H×W.

        Raises:
            NetworkError: the runtime could not run it on arrays of these sizes, or the logits break the contract.
        """

    def enqueue(self, image: Any, prev_mask: Any, modulated_mask: Any, clicks: Any, logits: Any, stream: int) -> None:
        """One pass on arrays in the device's memory, put on a CUDA stream; returns before it has run.

        Args:
            image, prev_mask, modulated_mask, clicks: as above, on this network's GPU: anything with
                ``__cuda_array_interface__`` (CuPy, PyTorch, PyCUDA), float32, C-contiguous. The caller owns them and
                keeps them alive and unchanged until the stream has passed this point.
            logits: N×1×H×W, the same kind; the pass writes into it. Its values are not checked.
            stream: raw handle (``cudaStream_t``) of the stream.

        Raises:
            OptionError: the network runs on the CPU, or an array is of another kind, type, shape or layout.
            NetworkError: the runtime refused the pass.
        """
        if self.device == "cpu":
            raise self._not_on_gpu()
        device_arrays(image, prev_mask, modulated_mask, clicks, logits)
        # Threads run side by side, and so do streams: each has a worker of its own.
        with _LOCK:
            if self._workers is None:
                self._workers = Workers()
            mine = self._workers.by_stream
        if stream not in mine:
            mine[stream] = self.worker()
        mine[stream].enqueue(image, prev_mask, modulated_mask, clicks, logits, stream)

    def worker(self) -> Worker:
        """A new :class:`Worker`, in the CUDA context that is current in this thread.

        Raises:
            OptionError: the network runs on the CPU, or in another CUDA context.
            NetworkError: the runtime gives none, for lack of memory for example.
        """
        raise self._not_on_gpu()

    def close(self) -> None:
        """Give back what clicks and passes on a GPU have left ready for the next ones; those then make it anew.

        The weights go with the network itself. No session may be at work.
        """
        with _LOCK:
            self._lanes = self._workers = None

    def shared_on(self, device: Device, make: Callable[[Device], Any]) -> Any:
        """What sessions on a device share, made once for each device: see :mod:`mfp.engine.pipelines.lane`."""
        # Kept here, so that it goes when the network goes: a table of all networks would keep them alive.
        with _LOCK:
            if self._lanes is None:
                self._lanes = {}
            if device not in self._lanes:
                self._lanes[device] = make(device)
            return self._lanes[device]

    def not_finite(self) -> str:
        """What to say of logits that are infinite or no numbers."""
        return f"{self!r} gave logits that are not finite: its weights are damaged, or overflow"

    def _not_on_gpu(self) -> OptionError:
        return OptionError(
            f"{self!r} runs on the CPU and takes no arrays in a GPU's memory: call it with NumPy arrays, "
            'or load the network with device="cuda:0"'
        )

    def _checked(self, logits: F32, image: F32) -> F32:
        """What a runtime gave back, held against the contract: a wrong network must not end in a quiet mask."""
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
    """What a runtime is asked for; see :func:`load_network`.

    Attributes:
        runtime: a name of :data:`RUNTIMES`; ``"auto"`` only for a plan, which says itself what it was built for.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
        threads: CPU threads of one pass, None for the runtime's own choice.
        precision: ``"fp32"``, ``"fp16"``, ``"bf16"``, or None for what the file says.
    """

    runtime: str
    device: str = "auto"
    threads: int | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Runtime:
    """A way to run networks.

    Attributes:
        module: of ``runtimes/``, with ``open(source, options: Options) -> Network``. It leaves in ``network.choice``
            why it took its device where that was left to it; :func:`load_network` puts what was chosen in front.
        opens: endings of the files it opens, or :data:`MODULE`.
        library: the Python module it cannot do without.
    """

    module: str
    opens: tuple[str, ...]
    library: str


MODULE = "module"  # in place of a file's ending: a PyTorch module
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
AUTO = ("onnxruntime", "openvino", "torch")  # "auto" is the first of these that opens the file and is installed

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
        source: ``"lite0"``, the network that ships with the package; the path of an ``.onnx`` file, of a ``.plan`` that
            ``mfp build`` wrote, or of an authors' ``.pth`` checkpoint; or a PyTorch module that
            :func:`mfp.export.models.build` made.
        runtime: ``"auto"`` or a name of :data:`RUNTIMES`. ``"auto"`` runs an ``.onnx`` file on ONNX Runtime where it is
            installed, else on OpenVINO, a plan on the TensorRT it was built for, and the rest on PyTorch.
            ``"tensorrt"`` and ``"tensorrt-rtx"`` build an ``.onnx`` file's plan through the engine cache.
        device: ``"auto"`` (a CUDA GPU where the runtime can use one, else the CPU), ``"cpu"`` or ``"cuda:N"``.
        threads: CPU threads of one pass; None leaves it to the runtime (all cores).
        precision: of the arithmetic inside, ``"fp32"``, ``"fp16"`` or ``"bf16"``; None is what the file says. PyTorch
            runs all three, OpenVINO an fp32 file in bf16; on the others the file decides, and ``"fp16"`` takes the
            packaged network's FP16 file.

    Returns:
        The network; its ``choice`` says what ``"auto"`` chose, and why.

    Raises:
        NetworkError: the file is missing, of another kind, or does not keep the contract; or no network of this name is
            packaged.
        RuntimeMissingError: the runtime, the device or the precision is not usable here; ``mfp doctor`` says what is.
        OptionError: an unknown runtime, device or precision, a number of threads below 1, or a precision that this
            runtime cannot change to.
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
    by_us = runtime == "auto" and kind != PLAN  # a plan chooses by itself
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
    """For runtimes on which the file decides: refuse another precision than the file's own.

    Raises:
        OptionError: saying how to make such a file.
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
    """The source (text becomes a path) and its file's ending, or MODULE."""
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
    """The first runtime of AUTO that is installed, and why, where it is not the first of all."""
    # OpenVINO knows no CUDA device; where one is asked for, the message shall be about the runtime that does.
    candidates = [name for name in AUTO if name in able and not (name == "openvino" and device.startswith("cuda"))]
    for name in candidates:
        if find_spec(RUNTIMES[name].library) is not None:
            return name, "" if name == candidates[0] else f"{candidates[0]} is not installed"
    return candidates[0], ""  # which says how to install it


def _check_device(device: str) -> None:
    if not isinstance(device, str):
        raise OptionError(f'expected a device like "auto", "cpu" or "cuda:0", got {device!r}')
    kind, _, number = device.partition(":")
    if device not in ("auto", "cpu") and not (kind == "cuda" and (number.isdecimal() or device == "cuda")):
        raise OptionError(f'unknown device {device!r}; expected "auto", "cpu" or "cuda:0"')
