"""The two TensorRT variants ("flavours"): TensorRT and TensorRT for RTX. Their Python modules have the same API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import OptionError, RuntimeMissingError
from ..requirements import INSTALL

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # "auto" takes the first that is installed

# Compute capabilities that TensorRT for RTX can build for. By default a plan runs on all of them from 8.0 on.
COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")

# TensorRT reports an error as "Class::method: Error Code N: Kind (the words. In function at file:line)".
_WORDS = re.compile(r"^\S+: Error Code \d+: [^(]*\((.*?)(?: In \S+ at \S+)?\)$", re.DOTALL)

ELSEWHERE = "Take runtime='tensorrt', 'onnxruntime' or 'torch' there."

Hear = Callable[[str, str], None]  # (severity in lower case, message)


class Complaints:
    """Error log: collects the errors that TensorRT reports to its logger, for our messages."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    def hear(self, severity: str, message: str) -> None:
        """Receive a logger's message, and keep it if it is an error."""
        if severity in ("internal_error", "error"):
            self._errors.append(message)

    def __str__(self) -> str:
        return "; ".join(self._errors[-3:]) or "it does not say why"


@dataclass(frozen=True)
class Flavour:
    """An installed TensorRT variant.

    Attributes:
        name: ``"tensorrt"`` or ``"tensorrt-rtx"``.
        trt: the variant's Python module.
    """

    name: str
    trt: Any

    @property
    def version(self) -> str:
        return str(self.trt.__version__)

    @property
    def is_rtx(self) -> bool:
        return self.name == "tensorrt-rtx"

    def logger(self, hear: Hear) -> Any:
        """A logger of the module that passes every message on."""

        class Logger(self.trt.ILogger):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, message: str) -> None:
                hear(severity.name.lower(), message)

        return Logger()


def open_flavour(name: str = "auto") -> Flavour:
    """Import one of the two variants.

    Args:
        name: ``"tensorrt"``, ``"tensorrt-rtx"``, or ``"auto"``: the first of them that is installed.

    Raises:
        OptionError: an unknown name.
        RuntimeMissingError: the variant is not installed, or cannot be loaded.
    """
    if name not in ("auto", *MODULES):
        raise OptionError(f'unknown flavour {name!r}; expected "auto" or one of {", ".join(MODULES)}')
    wanted = list(MODULES) if name == "auto" else [name]
    damage = ""
    for candidate in wanted:
        try:
            return Flavour(candidate, import_module(MODULES[candidate]))
        except ModuleNotFoundError as error:
            if error.name != MODULES[candidate]:  # it is installed, but a part of it is missing
                damage = f" ({candidate}: {error})"
        except (ImportError, OSError, RuntimeError) as error:  # libraries are missing or do not fit
            damage = f" ({candidate}: {error})"
    raise RuntimeMissingError(
        f"{' and '.join(wanted)} {'are' if len(wanted) > 1 else 'is'} not usable here{damage}; install with: "
        + " or ".join(INSTALL[candidate] for candidate in wanted)
    )


def why_not_on_this_gpu(flavour: Flavour) -> str:
    """The reason why plans of TensorRT for RTX do not run on the current GPU; empty if they do.

    A plan of one node is tried: TensorRT for RTX does not run on some GPUs that are newer than others it runs on
    (compute capability 9.0), and has no call that tells which.
    """
    trt, complaints = flavour.trt, Complaints()
    logger = flavour.logger(complaints.hear)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    node = network.add_unary(network.add_input("x", trt.float32, (1,)), trt.UnaryOperation.NEG)
    network.mark_output(node.get_output(0))
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    runtime = trt.Runtime(logger)
    if plan is not None and runtime.deserialize_cuda_engine(plan) is not None:
        return ""
    return f"{flavour.name} {flavour.version} does not run on this GPU: {words(str(complaints))}"


def words(complaint: str) -> str:
    """The text of a TensorRT error without its location in TensorRT's source."""
    found = _WORDS.match(complaint)
    return found.group(1).strip() if found else complaint
