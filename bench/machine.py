"""Description of the machine that a measurement belongs to."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..engine.devices import cuda_index
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
HALF_PRECISION = ("amx_bf16", "amx_fp16", "avx512_bf16", "avx512_fp16")  # instructions that make half precision fast
# Key in records → field of nvidia-smi.
FACTS = {
    "driver": "driver_version",
    "memory": "memory.total",
    "power_limit": "power.limit",
    "highest_clock": "clocks.max.sm",
    "highest_memory_clock": "clocks.max.mem",
}
CLOCKS = {"clock": "clocks.sm", "memory_clock": "clocks.mem"}

BUSY = 0.5  # load average of the last minute above which other programs are running, before a measurement


def facts() -> dict[str, Any]:
    """Processor, its instructions for half precision, cores, versions, commit and date, as JSON values."""
    return {
        "processor": _cpuinfo("model name") or platform.processor() or "unknown",
        "half_precision": sorted(set(HALF_PRECISION) & set(_cpuinfo("flags").split())),
        "cores": _cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def others_at_work() -> str:
    """Warning that other programs keep the processor busy; empty where none does, or the system has no load average."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):
        return ""
    if load < BUSY:
        return ""
    return f"other programs are at work here (load {load:.1f} on {_cores()} cores): times will be of theirs as well"


def gpu_facts(device: str) -> dict[str, Any] | None:
    """Description of the GPU ``"cuda:N"``: name, compute capability, CUDA version of its driver, and from nvidia-smi
    as text: driver, memory in MiB, power in W, highest clocks in MHz. None for ``"cpu"``, or where there is no GPU.
    """
    found = None if device == "cpu" else gpu(cuda_index(device))
    return None if found is None else {**asdict(found), **_ask_nvidia_smi(device, FACTS)}


def gpu_clocks(device: str) -> dict[str, str]:
    """Current clocks in MHz, as text; empty where nvidia-smi does not report them."""
    return _ask_nvidia_smi(device, CLOCKS)


def _ask_nvidia_smi(device: str, fields: Mapping[str, str]) -> dict[str, str]:
    handle, address = ctypes.c_int(), ctypes.create_string_buffer(32)
    driver().cuDeviceGet(ctypes.byref(handle), cuda_index(device))
    driver().cuDeviceGetPCIBusId(address, len(address), handle)  # nvidia-smi numbers GPUs in another order
    command = ["nvidia-smi", f"--id={address.value.decode()}", f"--query-gpu={','.join(fields.values())}"]
    try:
        done = subprocess.run([*command, "--format=csv,noheader,nounits"], capture_output=True, text=True)
    except OSError:
        return {}
    values = [value.strip() for value in done.stdout.split(",")]
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else {}


def _cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpuinfo(key: str) -> str:
    """Value of a key in Linux's /proc/cpuinfo, for the first core; empty elsewhere."""
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
