"""Opens the GPU that the array work of a session is done on."""

from __future__ import annotations

from importlib.util import find_spec

from ...kernels.device import Device, device_for
from ..devices import cuda_index, use_gpu
from ..errors import RuntimeMissingError
from ..network import Network
from ..requirements import INSTALL, one_line


def open_device(network: Network) -> Device:
    """The device that a network's sessions work on: in the CUDA context that is current in this thread, where it is one
    on the network's GPU, else in the GPU's primary context.

    Raises:
        RuntimeMissingError: CuPy, or what it needs to compile the kernels, is not there.
    """
    if find_spec("cupy") is None:
        raise RuntimeMissingError(f"array work on a GPU needs CuPy: {INSTALL['cupy']}")
    gpu = cuda_index(network.device)
    use_gpu(gpu)
    try:
        device = device_for(gpu)
        device.load()
    except (ImportError, RuntimeError) as error:  # the latter also of the driver, of NVRTC and of CUDA
        raise RuntimeMissingError(
            f"array work on {network.device} is not possible: {one_line(error)}. `mfp doctor` says what is missing"
        ) from error
    return device
