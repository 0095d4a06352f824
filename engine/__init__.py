"""The engine package that an application embeds: networks, sessions, clicks and masks.

The public names are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..kernels.clicks import Click
    from .errors import MfpError
    from .image import read_image
    from .mask import Mask
    from .network import Network, load_network
    from .predictor import Predictor
    from .session import Session

__all__ = ["Click", "Mask", "MfpError", "Network", "Predictor", "Session", "load_network", "read_image"]

_HOME = {
    "Click": "..kernels.clicks",
    "Mask": ".mask",
    "MfpError": ".errors",
    "Network": ".network",
    "Predictor": ".predictor",
    "Session": ".session",
    "load_network": ".network",
    "read_image": ".image",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
