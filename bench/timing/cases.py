"""What is timed: the authors' way in its variants, and the engine on each of its runtimes and precisions."""

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
    """A way to compute clicks.

    Attributes:
        name: unique among the runs.
        way: :data:`AUTHORS` or :data:`ENGINE`.
        runtime: of :data:`~mfp.engine.network.RUNTIMES`; of the authors' way ``"torch"``, or ``"torch-compile"`` where
            its network is compiled.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``.
    """

    name: str
    way: str
    runtime: str
    precision: str


REFERENCE = Run("authors' way", AUTHORS, "torch", "fp32")  # whose masks and times the others are held against


def all_runs(device: str) -> list[Run]:
    """What there is to time on ``"cpu"`` or ``"cuda:N"``, the reference first, whether or not it is installed."""
    half = "bf16" if device == "cpu" else "fp16"
    runs = [
        REFERENCE,
        Run(f"authors' way {half}", AUTHORS, "torch", half),
        Run("authors' way compiled", AUTHORS, COMPILED, "fp32"),
    ]
    for runtime in RUNTIMES:
        runs.append(Run(runtime, ENGINE, runtime, "fp32"))
        if device != "cpu" or runtime in ("torch", "openvino"):  # on a CPU ONNX Runtime only imitates half precision
            runs.append(Run(f"{runtime} {half}", ENGINE, runtime, half))
    return runs


def chosen_runs(
    device: str, runtimes: Sequence[str] | None = None, compiled: bool = False
) -> tuple[list[Run], dict[str, str]]:
    """The runs to try, and by name why others are not tried.

    Args:
        device: ``"cpu"`` or ``"cuda:N"``.
        runtimes: names of :data:`~mfp.engine.network.RUNTIMES` (all their precisions), of single runs
            (``"torch fp16"``), and ``"authors"``; None: all. The reference is among them always.
        compiled: also those that :func:`torch.compile` compiles first, for a minute or more.

    Raises:
        OptionError: an unknown runtime.
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
    """What torch.compile needs and does not find here, and what to do; else nothing."""
    if device != "cpu":
        return "" if find_spec("triton") else "torch.compile needs Triton on a GPU; install it with: pip install triton"
    return "" if has_compiler() else f"torch.compile finds no C++ compiler; {COMPILER_REMEDY}"


@dataclass(frozen=True)
class Sources:
    """A backbone as the runs need it.

    Attributes:
        size: network size (H, W).
        module: the PyTorch network.
        checkpoint: its weights in a file of the authors' kind.
        files: its ONNX files by precision.
    """

    backbone: str
    size: Size
    module: MfpModule
    checkpoint: Path
    files: dict[str, Path]

    def of(self, run: Run) -> Path:
        """The file that a run starts from."""
        if run.runtime.startswith("torch"):
            return self.checkpoint
        return self.files["fp16" if run.precision == "fp16" else "fp32"]


class Clicked(Protocol):
    """One object on one image: a session, or the authors' way."""

    timing: ClickTiming | None

    def click(self, x: float, y: float, positive: bool = True) -> Any:
        """The mask, an array of bool H×W or what NumPy reads as one."""

    def reset(self) -> None:
        """Drop all clicks."""


@dataclass(frozen=True)
class Opened:
    """A run, ready.

    Attributes:
        start: an object on an image, H×W×3 uint8 RGB.
        network: of the engine, else None.
    """

    start: Callable[[NDArray[np.uint8]], Clicked]
    network: Network | None = None


def open_run(run: Run, source: Any, size: Size, device: str) -> Opened:
    """Load what a run needs.

    Args:
        source: the file of :meth:`Sources.of`, or for PyTorch the module.
        size: network size (H, W).
        device: ``"cpu"`` or ``"cuda:N"``.

    Raises:
        MfpError: it is not usable here.
    """
    if run.way == ENGINE:
        # the file says fp16 itself; PyTorch and OpenVINO are told
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
    """The stages that a click went through, in milliseconds."""
    for stage in ("crop", "encode", "modulate", "network", "paste", "device"):
        milliseconds = getattr(timing, stage)
        if milliseconds:
            yield stage, milliseconds
