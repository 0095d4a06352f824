"""What a measurement must say of where it was taken."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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
