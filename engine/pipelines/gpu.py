"""GPU access for sessions: opens the device for the array work."""

from __future__ import annotations

from importlib.util import find_spec

from ...kernels.device import Device, device_for
from ..devices import cuda_index, use_gpu
from ..errors import RuntimeMissingError
from ..network import Network
from ..requirements import INSTALL, one_line


def open_device(network: Network) -> Device:
    """The device for the array work of a network's sessions.

    It uses the CUDA context that is current in this thread if that is on the network's GPU, else the GPU's primary
    context.

    Raises:
        RuntimeMissingError: CuPy, or a library it needs to compile the kernels, is not installed.
    """
    if find_spec("cupy") is None:
        raise RuntimeMissingError(f"array work on a GPU needs CuPy: {INSTALL['cupy']}")
    gpu = cuda_index(network.device)
    use_gpu(gpu)
    try:
        device = device_for(gpu)
        device.load()
    except (ImportError, RuntimeError) as error:  # RuntimeError also from the driver, NVRTC and CUDA
        raise RuntimeMissingError(
            f"array work on {network.device} is not possible: {one_line(error)}. `mfp doctor` says what is missing"
        ) from error
    return device
