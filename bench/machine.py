"""What a measurement must say of where it was taken."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..engine.plans.gpu import gpu
from ..kernels.driver import driver

PACKAGES = (
    "mfp-engine",
    "cupy-cuda13x",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python-headless",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
)
HALF_PRECISION = ("amx_bf16", "amx_fp16", "avx512_bf16", "avx512_fp16")  # instructions that make it fast
CLOCKS = ("clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem")
NVIDIA_SMI = ("driver_version", "memory.total", "power.limit", *CLOCKS)


def facts() -> dict[str, Any]:
    """Processor, its instructions for half precision, cores, versions, commit and date, as JSON values."""
    return {
        "processor": _cpuinfo("model name") or platform.processor() or "unknown",
        "half_precision": sorted(set(HALF_PRECISION) & set(_cpuinfo("flags").split())),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def gpu_facts(index: int) -> dict[str, Any] | None:
    """A GPU's name, compute capability, CUDA version of its driver, and what nvidia-smi says of it at this moment:
    memory in MiB, power in W, clocks in MHz, as text. None where there is no such GPU.
    """
    described = gpu(index)
    if described is None:
        return None
    found: dict[str, Any] = {
        "name": described.name,
        "compute_capability": described.compute_capability,
        "cuda": described.cuda,
    }
    device, address = ctypes.c_int(), ctypes.create_string_buffer(32)
    driver().cuDeviceGet(ctypes.byref(device), index)
    driver().cuDeviceGetPCIBusId(address, len(address), device)  # nvidia-smi numbers GPUs in an order of its own
    command = ["nvidia-smi", f"--id={address.value.decode()}", f"--query-gpu={','.join(NVIDIA_SMI)}"]
    try:
        done = subprocess.run([*command, "--format=csv,noheader,nounits"], capture_output=True, text=True)
    except OSError:
        return found
    values = [value.strip() for value in done.stdout.split(",")]
    return found | (dict(zip(NVIDIA_SMI, values, strict=True)) if len(values) == len(NVIDIA_SMI) else {})


def _cpuinfo(key: str) -> str:
    """What Linux says of the first core; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None
