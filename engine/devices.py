"""Which CUDA GPUs the driver of this machine offers. Asks the driver itself: no CUDA package is needed."""

from __future__ import annotations

import ctypes
import sys
from functools import cache


@cache
def cuda_driver() -> tuple[int, str]:
    """Number of GPUs, and why it is 0 (empty where it is not)."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0, f"no NVIDIA driver ({library} is not there)"
    status = driver.cuInit(0)
    if status != 0:
        return 0, f"the NVIDIA driver does not start (cuInit gives error {status})"
    count = ctypes.c_int()
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value == 0:
        return 0, "the NVIDIA driver finds no GPU"
    return count.value, ""


def cuda_index(device: str) -> int:
    """``"cuda:1"`` → 1; 0 where no number is given, as in ``"cuda"`` and ``"auto"``."""
    return int(device.partition(":")[2] or 0)
