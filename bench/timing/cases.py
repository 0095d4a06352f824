"""Benchmark cases: the baseline in its variants, and the engine on each of its runtimes and precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...engine.contract import Size
from ...engine.devices import cuda_driver
from ...engine.doctor import COMPILER_REMEDY, has_compiler
from ...engine.errors import OptionError
from ...engine.network import RUNTIMES, Network, load_network
from ...engine.pipelines.pipeline import ClickTiming
from ...engine.requirements import INSTALL
from ...engine.session import Session

if TYPE_CHECKING:
    from ...export.models.blocks import MfpModule

AUTHORS, ENGINE = "authors", "engine"
COMPILED = "torch-compile"
ON_GPU_ALONE = ("onnxruntime-tensorrt", "onnxruntime-tensorrt-rtx", "tensorrt", "tensorrt-rtx")
ON_CPU_ALONE = ("openvino",)


@dataclass(frozen=True)
class Run:
    """A case of the benchmark: one way to compute clicks.

    Attributes:
        name: unique among the runs.
        way: :data:`AUTHORS` (the baseline) or :data:`ENGINE`.
        runtime: name in :data:`~mfp.engine.network.RUNTIMES`; for the baseline ``"torch"``, or ``"torch-compile"``
            where its network is compiled.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``.
    """

    name: str
    way: str
    runtime: str
    precision: str


REFERENCE = Run("authors' way", AUTHORS, "torch", "fp32")  # baseline for the masks and times of all others


def all_runs(device: str) -> list[Run]:
    """All runs on ``"cpu"`` or ``"cuda:N"``, the reference first, whether or not their runtimes are installed."""
    half = "bf16" if device == "cpu" else "fp16"
    runs = [
        REFERENCE,
        Run(f"authors' way {half}", AUTHORS, "torch", half),
        Run("authors' way compiled", AUTHORS, COMPILED, "fp32"),
    ]
    for runtime in RUNTIMES:
        runs.append(Run(runtime, ENGINE, runtime, "fp32"))
        if device != "cpu" or runtime in ("torch", "openvino"):  # on a CPU ONNX Runtime only emulates half precision
            runs.append(Run(f"{runtime} {half}", ENGINE, runtime, half))
    return runs


def chosen_runs(
    device: str, runtimes: Sequence[str] | None = None, compiled: bool = False
) -> tuple[list[Run], dict[str, str]]:
    """Runs to time, and the reason by name for each run that is left out.

    Args:
        device: ``"cpu"`` or ``"cuda:N"``.
        runtimes: names in :data:`~mfp.engine.network.RUNTIMES` (all their precisions), names of single runs
            (``"torch fp16"``), and ``"authors"``; None: all. The reference is always included.
        compiled: whether to include runs that :func:`torch.compile` compiles first, for a minute or more.

    Raises:
        OptionError: a runtime is unknown.
    """
    others = all_runs(device)[1:]
    known = dict.fromkeys((AUTHORS, *RUNTIMES, *(run.name for run in others)))
    for name in runtimes or ():
        if name not in known:
            raise OptionError(f"unknown runtime {name!r}; expected one of {', '.join(known)}")
    asked = set(runtimes or ())
    runs, left_out = [REFERENCE], {}
    for run in others:
        if asked and not asked & {run.name, AUTHORS if run.way == AUTHORS else run.runtime}:
            continue
        if run.runtime == COMPILED and not (compiled or asked & {run.name, COMPILED}):
            left_out[run.name] = "compiles for a minute or more; asked for with --compile"
        elif device == "cpu" and run.runtime in ON_GPU_ALONE:
            left_out[run.name] = f"runs on CUDA GPUs alone: {cuda_driver()[1] or 'this record is of the CPU'}"
        elif device != "cpu" and run.runtime in ON_CPU_ALONE:
            left_out[run.name] = "runs on the CPU alone: mfp bench --device cpu"
        elif find_spec(library := RUNTIMES[run.runtime].library) is None:
            left_out[run.name] = f"{library} is not installed; install it with: {INSTALL[run.runtime]}"
        elif run.runtime == COMPILED and (lack := compiler_lacking(device)):
            left_out[run.name] = lack
        else:
            runs.append(run)
    return runs, left_out


def compiler_lacking(device: str) -> str:
    """Sentence about what torch.compile needs and does not find, and what to do; "" where nothing is missing."""
    if device != "cpu":
        return "" if find_spec("triton") else "torch.compile needs Triton on a GPU; install it with: pip install triton"
    return "" if has_compiler() else f"torch.compile finds no C++ compiler; {COMPILER_REMEDY}"


@dataclass(frozen=True)
class Sources:
    """Files and network of a backbone that the runs start from.

    Attributes:
        size: network size (H, W).
        module: PyTorch network.
        checkpoint: file of its weights in the authors' format.
        files: ONNX files by precision.
    """

    backbone: str
    size: Size
    module: MfpModule
    checkpoint: Path
    files: dict[str, Path]

    def of(self, run: Run) -> Path:
        """File that a run starts from."""
        if run.runtime.startswith("torch"):
            return self.checkpoint
        return self.files["fp16" if run.precision == "fp16" else "fp32"]


class Clicked(Protocol):
    """Interface of one object on one image: a session, or the baseline."""

    timing: ClickTiming | None

    def click(self, x: float, y: float, positive: bool = True) -> Any:
        """Add a click at column x and row y in image pixels; return the mask, bool H×W or convertible by NumPy."""

    def reset(self) -> None:
        """Remove all clicks."""


@dataclass(frozen=True)
class Opened:
    """A loaded run.

    Attributes:
        start: function that starts an object on an image, H×W×3 uint8 RGB.
        network: network of the engine; None for the baseline.
    """

    start: Callable[[NDArray[np.uint8]], Clicked]
    network: Network | None = None


def open_run(run: Run, source: Any, size: Size, device: str) -> Opened:
    """Load what a run needs.

    Args:
        source: file of :meth:`Sources.of`, or for PyTorch the module.
        size: network size (H, W).
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MfpError: the run is not usable on this machine.
    """
    if run.way == ENGINE:
        # an ONNX file is fp16 itself; PyTorch and OpenVINO need the option
        network = load_network(source, run.runtime, device, precision=run.precision)
        return Opened(lambda image: Session(network, image, size=size), network)

    import torch

    from .baseline import AuthorsWay

    if isinstance(source, Path):
        from ...export.checkpoint import load

        source = load(source)
    module = source if device == "cpu" else source.to(device)
    logits = torch.compile(module) if run.runtime == COMPILED else module
    n_early, r_max = module.spec.n_early, module.spec.r_max
    options: dict[str, Any] = {"precision": run.precision, "n_early": n_early, "r_max": r_max}
    return Opened(lambda image: AuthorsWay(logits, image, size, device=device, **options))


def stages_of(timing: ClickTiming | None) -> Iterator[tuple[str, float]]:
    """Yield name and milliseconds of each stage that a click ran."""
    for stage in ("crop", "encode", "modulate", "network", "paste", "device"):
        milliseconds = getattr(timing, stage)
        if milliseconds:
            yield stage, milliseconds
