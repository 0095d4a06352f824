"""The two members of the TensorRT family: TensorRT and TensorRT for RTX. Their Python modules have one API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import OptionError, RuntimeMissingError
from ..requirements import INSTALL

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # "auto" takes the first that is installed

# What TensorRT for RTX can be told to build for. By default a plan runs on all of them from 8.0 on.
COMPUTE_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")

# "Class::method: Error Code N: Kind (the words. In function at file:line)" is how TensorRT reports an error.
_WORDS = re.compile(r"^\S+: Error Code \d+: [^(]*\((.*?)(?: In \S+ at \S+)?\)$", re.DOTALL)

ELSEWHERE = "Take runtime='tensorrt', 'onnxruntime' or 'torch' there."

Hear = Callable[[str, str], None]  # (severity in lower case, message)


class Complaints:
    """The errors that TensorRT reports to its logger, for messages."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    def hear(self, severity: str, message: str) -> None:
        """Takes what a logger hands on; keeps errors."""
        if severity in ("internal_error", "error"):
            self._errors.append(message)

    def __str__(self) -> str:
        return "; ".join(self._errors[-3:]) or "it does not say why"


@dataclass(frozen=True)
class Flavour:
    """An installed TensorRT.

    Attributes:
        name: ``"tensorrt"`` or ``"tensorrt-rtx"``.
        trt: its Python module.
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
        """A logger of the module, which hands every message on."""

        class Logger(self.trt.ILogger):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, message: str) -> None:
                hear(severity.name.lower(), message)

        return Logger()


def open_flavour(name: str = "auto") -> Flavour:
    """Import one of the two.

    Args:
        name: ``"tensorrt"``, ``"tensorrt-rtx"``, or ``"auto"``: the first of them that is installed.

    Raises:
        OptionError: an unknown name.
        RuntimeMissingError: it is not installed, or cannot be loaded.
    """
    if name not in ("auto", *MODULES):
        raise OptionError(f'unknown flavour {name!r}; expected "auto" or one of {", ".join(MODULES)}')
    wanted = list(MODULES) if name == "auto" else [name]
    damage = ""
    for candidate in wanted:
        try:
            return Flavour(candidate, import_module(MODULES[candidate]))
        except ModuleNotFoundError as error:
            if error.name != MODULES[candidate]:  # it is there, a part of it is not
                damage = f" ({candidate}: {error})"
        except (ImportError, OSError, RuntimeError) as error:  # libraries that are missing or do not fit
            damage = f" ({candidate}: {error})"
    raise RuntimeMissingError(
        f"{' and '.join(wanted)} {'are' if len(wanted) > 1 else 'is'} not usable here{damage}; install with: "
        + " or ".join(INSTALL[candidate] for candidate in wanted)
    )


def why_not_on_this_gpu(flavour: Flavour) -> str:
    """Why plans of TensorRT for RTX do not run on the current GPU, empty where they do: a plan of one node is tried.

    It leaves out some GPUs that are newer than others it runs on (compute capability 9.0), and cannot be asked which.
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
    """What TensorRT says in an error, without where in its code that is."""
    found = _WORDS.match(complaint)
    return found.group(1).strip() if found else complaint
