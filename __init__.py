"""MFP click-based interactive segmentation on fast inference engines.

Public interface. Names are loaded on first use, so ``import mfp`` stays fast::

    from mfp import Session, load_network

    network = load_network("hrnet18.onnx")
    session = Session(network, image)        # H×W×3 uint8 RGB
    mask = session.click(x=240, y=130)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import engine
from .engine.telemetry import turn_off
from .engine.version import __version__ as __version__

if TYPE_CHECKING:
    from .engine import Click, Mask, MfpError, Network, Predictor, Session, load_network, read_image

__all__ = ["Click", "Mask", "MfpError", "Network", "Predictor", "Session", "load_network", "read_image"]

turn_off()  # before any library that reports is imported


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(engine, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
