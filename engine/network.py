"""Networks: one compiled MFP network on one runtime, and how to load one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contract import NetworkInfo
from .errors import NetworkError, OptionError

F32 = NDArray[np.float32]


class Network(ABC):
    """A network ready to run. It holds no state of a session: share one between as many sessions as you like.

    Attributes:
        info: what the file says of itself.
        runtime: ``"onnxruntime"`` or ``"torch"``.
        device: ``"cpu"`` or ``"cuda:N"``.
    """

    info: NetworkInfo
    runtime: str
    device: str

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
        """

    def _checked(self, logits: F32, image: F32) -> F32:
        """What a runtime gave back, held against the contract: a wrong network must not end in a quiet mask."""
        expected = (len(image), 1, *image.shape[2:])
        if logits.dtype != np.float32 or logits.shape != expected:
            raise NetworkError(
                f"{self!r} gave logits of {logits.dtype} {logits.shape}, expected float32 {expected}. Export it again."
            )
        if not np.isfinite(logits).all():
            raise NetworkError(f"{self!r} gave logits that are not finite: its weights are damaged, or overflow")
        return logits

    def __repr__(self) -> str:
        size = "any size" if self.info.size is None else "{}×{}".format(*self.info.size)
        return f"<{type(self).__name__} {self.info.backbone} {size} {self.info.precision} on {self.device}>"


# runtime → module of runtimes/, each with open(source, device, threads) -> Network
_RUNTIMES = {"onnxruntime": "onnx_runtime", "torch": "pytorch"}
_RUNTIME_OF_SUFFIX = {".onnx": "onnxruntime", ".pth": "torch", ".pt": "torch"}

MAX_THREADS = 1024


def load_network(source: Any, runtime: str = "auto", device: str = "auto", threads: int | None = None) -> Network:
    """Open a network.

    Args:
        source: path of an ``.onnx`` file or of an authors' ``.pth`` checkpoint, or a PyTorch module that
            :func:`mfp.export.models.build` made.
        runtime: ``"auto"`` (by the kind of source), ``"onnxruntime"`` or ``"torch"``.
        device: ``"auto"`` (a CUDA GPU where the runtime can use one, else the CPU), ``"cpu"`` or ``"cuda:N"``.
        threads: CPU threads of one pass; None leaves it to the runtime (all cores).

    Raises:
        NetworkError: the file is missing, of another kind, or does not keep the contract.
        RuntimeMissingError: the runtime or the device is not usable here; ``mfp doctor`` says what is.
        OptionError: an unknown runtime or device, or a number of threads below 1.
    """
    if runtime not in ("auto", *_RUNTIMES):
        raise OptionError(f'unknown runtime {runtime!r}; expected "auto" or one of {", ".join(_RUNTIMES)}')
    _check_device(device)
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= MAX_THREADS):
        raise OptionError(f"expected a number of threads from 1 to {MAX_THREADS}, got {threads!r}")

    if isinstance(source, (str, Path)):
        source = Path(source)
        suffix = source.suffix.lower()
        if source.is_dir():
            raise NetworkError(f"expected a network file, got a folder: {source}")
        if not source.is_file():
            raise NetworkError(
                f"no such file: {source}. Export a network with: mfp export --backbone hrnet18 --output {source.name}"
            )
        if suffix not in _RUNTIME_OF_SUFFIX:
            raise NetworkError(f"{source}: expected a file ending in {', '.join(_RUNTIME_OF_SUFFIX)}, got {suffix!r}")
        natural = _RUNTIME_OF_SUFFIX[suffix]
        if runtime not in ("auto", natural):
            raise NetworkError(
                f"{source} runs on {natural}, not on {runtime}. "
                + ("Export it first: mfp export" if natural == "torch" else "For PyTorch, pass the .pth checkpoint.")
            )
    elif hasattr(source, "forward") and hasattr(source, "spec"):
        natural = "torch"
        if runtime not in ("auto", natural):
            raise NetworkError(f"a PyTorch module runs on torch, not on {runtime}; export it first: mfp export")
    else:
        raise NetworkError(f"expected a path or a module of mfp.export.models, got {type(source).__name__}")
    module = import_module(f".runtimes.{_RUNTIMES[natural]}", __package__)
    network: Network = module.open(source, device, threads)
    return network


def _check_device(device: str) -> None:
    if not isinstance(device, str):
        raise OptionError(f'expected a device like "auto", "cpu" or "cuda:0", got {device!r}')
    kind, _, number = device.partition(":")
    if device not in ("auto", "cpu") and not (kind == "cuda" and (number.isdecimal() or device == "cuda")):
        raise OptionError(f'unknown device {device!r}; expected "auto", "cpu" or "cuda:0"')
