"""Cold start: a fresh process that imports, loads and makes its first click, and reports the time of each.

The parent calls :func:`measure`; the process is ``python -m mfp.bench.timing.cold_start``. The process is cold, but not
the disk: the files that it reads are still in the system's cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.errors import OptionError, RuntimeMissingError
from ...engine.requirements import one_line

if TYPE_CHECKING:  # the process's imports are timed
    from ...engine.contract import Size
    from .cases import Run, Sources


def measure(run: Run, sources: Sources, device: str, image: Size) -> dict[str, Any]:
    """Start a run in a separate process.

    Args:
        image: size (H, W) of the photograph in pixels.

    Returns:
        ``cold``: ``import_s``, seconds to import the engine (or the baseline) and the runtime's library; ``load_s``,
        seconds to load the network; ``first_click_ms``, milliseconds from the photograph to its first mask.
        ``memory``: ``process_bytes``, peak resident memory, None where the system does not report it;
        ``device_bytes``, memory taken from the GPU, None without one.

    Raises:
        RuntimeMissingError: the run is not usable on this machine; the message has the reason.
        RuntimeError: the process failed; the message has its output.
    """
    order = {
        "run": asdict(run), "source": str(sources.of(run)), "size": sources.size, "device": device, "image": image,
    }  # fmt: skip
    command = [sys.executable, "-m", __name__, json.dumps(order)]
    fresh = {**os.environ, "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # a cached torch.compile would not be cold
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", env=fresh)
    if done.returncode:
        said = done.stderr.strip() or "it said nothing"
        raise RuntimeError(f"a fresh process with {run.name} ended with exit code {done.returncode}: {said}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # runtimes may print as well
    if "not_here" in answer:
        raise RuntimeMissingError(answer["not_here"])
    return answer


def _main(order: dict[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    _import(order["run"]["way"], order["run"]["runtime"])
    imported = time.perf_counter() - start

    from ...engine.devices import cuda_index
    from ..workload import photograph
    from .cases import Run, open_run

    run, device, image = Run(**order["run"]), order["device"], photograph(order["image"])
    gpu = None if device == "cpu" else cuda_index(device)
    free = None if gpu is None else _free_bytes(gpu)
    start = time.perf_counter()
    opened = open_run(run, Path(order["source"]), tuple(order["size"]), device)
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    opened.start(image).click(image.shape[1] / 2, image.shape[0] / 2)
    clicked = time.perf_counter() - start
    return {
        "cold": {"import_s": imported, "load_s": loaded, "first_click_ms": clicked * 1e3},
        "memory": {
            "process_bytes": _peak_bytes(),
            "device_bytes": None if gpu is None or free is None else free - _free_bytes(gpu),
        },
    }


def _import(way: str, runtime: str) -> None:
    """Import what a program needs for a run."""
    from importlib import import_module

    from ...engine.network import RUNTIMES

    import_module(RUNTIMES[runtime].library)
    import_module("mfp.engine.session" if way == "engine" else "mfp.bench.timing.baseline")


def _peak_bytes() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not report it."""
    try:  # not getrusage: on Linux its value includes the parent's memory before this program started
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _free_bytes(gpu: int) -> int:
    """Free bytes of a GPU's memory as its driver reports them, whichever library takes memory."""
    import ctypes

    from ...engine.devices import use_gpu
    from ...kernels.driver import driver

    use_gpu(gpu)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    driver().cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    return free.value


if __name__ == "__main__":
    try:
        said = _main(json.loads(sys.argv[1]))
    except (RuntimeMissingError, OptionError) as error:
        said = {"not_here": one_line(error)}
    print(json.dumps(said))
