"""A cold start: a fresh process that imports, loads and makes its first click, and says how long that took.

The parent calls :func:`measure`; ``python -m mfp.bench.timing.cold_start`` is the process. The files it reads are still
in the system's memory: it is the process that is cold, not the disk.
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

if TYPE_CHECKING:  # what the process imports is measured
    from ...engine.contract import Size
    from .cases import Run, Sources


def measure(run: Run, sources: Sources, device: str, image: Size) -> dict[str, Any]:
    """Start a run in a process of its own.

    Args:
        image: of the photograph, (H, W).

    Returns:
        ``cold``: ``import_s`` of the engine (or of the authors' way) and the runtime's library, ``load_s`` of the
        network, ``first_click_ms`` from the photograph to its first mask; ``memory``: ``process_bytes``, most that was
        resident, None where the system does not say; ``device_bytes``, taken from the GPU, None without one.

    Raises:
        RuntimeMissingError: the run is not usable here; says why.
        RuntimeError: the process failed; has what it said.
    """
    order = {
        "run": asdict(run), "source": str(sources.of(run)), "size": sources.size, "device": device, "image": image,
    }  # fmt: skip
    command = [sys.executable, "-m", __name__, json.dumps(order)]
    fresh = {**os.environ, "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # what torch.compile made before is not cold
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
    """What a program imports to run it."""
    from importlib import import_module

    from ...engine.network import RUNTIMES

    import_module(RUNTIMES[runtime].library)
    import_module("mfp.engine.session" if way == "engine" else "mfp.bench.timing.baseline")


def _peak_bytes() -> int | None:
    """Most memory that this process has had resident."""
    try:  # not getrusage: on Linux its figure includes the parent's, up to the start of this program
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
    """Of a GPU's memory, as its driver sees it: whatever library it is that takes it."""
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
