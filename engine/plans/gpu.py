"""The `Gpu` dataclass: properties of a GPU that plans depend on. Read from the driver; no CUDA package is needed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from ...kernels.driver import driver
from ..devices import cuda_driver
from ..errors import OptionError


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it.

    Attributes:
        name: product name.
        compute_capability: such as ``"9.0"``.
        cuda: newest CUDA version that the driver supports, such as ``"13.0"``.
    """

    name: str
    compute_capability: str
    cuda: str


def gpu(index: int) -> Gpu | None:
    """The GPU of this number, counted from 0; None if the driver has no such GPU.

    Raises:
        OptionError: the number is not a whole number from 0.
    """
    if type(index) is not int or index < 0:
        raise OptionError(f"expected the number of a GPU, from 0, got {index!r}")
    if index >= cuda_driver()[0]:
        return None
    cuda = driver()
    device, version, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    capability = []
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, …_MINOR
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    major, minor = divmod(version.value // 10, 100)
    return Gpu(name.value.decode("utf-8", "replace"), ".".join(capability), f"{major}.{minor}")
