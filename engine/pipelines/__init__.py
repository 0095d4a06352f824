"""The array work of clicks, on the host in NumPy or on a GPU; :func:`open_pipeline` opens either."""

from __future__ import annotations

import warnings
from typing import Any

from ...kernels.device import Device
from ..errors import OptionError, RuntimeMissingError
from ..network import Network
from .host import HostPipeline
from .pipeline import ClickOptions, Pipeline

PIPELINES = ("auto", "host", "device")


def open_pipeline(
    network: Network,
    image: Any,
    options: ClickOptions,
    *,
    initial_mask: Any = None,
    where: str = "auto",
    stream: Any = None,
) -> Pipeline:
    """Open the array work of a session.

    Args:
        network, image, initial_mask, stream: arguments of :class:`~mfp.engine.session.Session`.
        options: checked options of the session.
        where: place of the array work, one of :data:`PIPELINES`.

    Raises:
        ImageError: the image or the initial mask is not accepted.
        OptionError: array work on a GPU is requested for a network on the CPU, or a stream for work on the host.
        RuntimeMissingError: ``"device"`` is requested and CuPy is not installed.
    """
    device = _device(network, where)
    if device is not None:
        from .device import DevicePipeline

        return DevicePipeline(device, network, image, initial_mask, options, stream)
    if stream is not None:
        raise OptionError("a stream is for array work on a GPU; this session does it on the host: leave it out")
    return HostPipeline(network, image, initial_mask, options)


def _device(network: Network, where: str) -> Device | None:
    """The device for the array work, None for the host."""
    if where not in PIPELINES:
        raise OptionError(f"expected the pipeline {', '.join(PIPELINES)}, got {where!r}")
    if where == "host" or (where == "auto" and network.device == "cpu"):
        return None
    if network.device == "cpu":
        raise OptionError(f'array work on a GPU needs a network there, got {network!r}; load it with device="cuda:0"')
    from . import gpu

    try:
        return gpu.open_device(network)
    except RuntimeMissingError as error:
        if where == "device":
            raise
        warnings.warn(f"{error}. Until then the host does it", RuntimeWarning, stacklevel=4)
        return None
