"""What a device reaches at best, measured: a large matrix product and a large copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.errors import RuntimeMissingError

REPEATS = 10
CPU_SIDE, GPU_SIDE = 2048, 8192  # of the square matrices
CPU_BYTES, GPU_BYTES = 1 << 29, 1 << 31  # of the copy: more than the caches hold


def measure(device: str, precisions: tuple[str, ...]) -> dict[str, Any]:
    """Median speeds on ``"cpu"`` or ``"cuda:N"``, by PyTorch.

    Args:
        precisions: of the products, ``"fp32"``, ``"fp16"``, ``"bf16"``, and on a GPU ``"tf32"``, to which runtimes
            round the inputs of FP32 products there; one that the device does not take is left out.

    Returns:
        ``matrix_product_gflops``: by precision, 1e9 floating-point operations a second, a multiply-add being two;
        ``copy_gb_per_s``: 1e9 bytes read and written a second.
    """
    import torch

    products = {}
    for precision in precisions:
        try:
            products[precision] = _matrix_product(torch, device, precision)
        except (RuntimeError, TypeError):  # "not implemented for 'Half'" and its kin
            continue
    return {"matrix_product_gflops": products, "copy_gb_per_s": _copy(torch, device)}


def _matrix_product(torch: Any, device: str, precision: str) -> float:
    side = CPU_SIDE if device == "cpu" else GPU_SIDE
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    switch = torch.backends.cuda.matmul
    before, switch.allow_tf32 = switch.allow_tf32, precision == "tf32"
    try:
        return 2 * side**3 / _seconds(lambda: torch.mm(a, b, out=out), device) / 1e9
    finally:
        switch.allow_tf32 = before


def _copy(torch: Any, device: str) -> float:
    nbytes = CPU_BYTES if device == "cpu" else GPU_BYTES
    try:
        source = torch.ones(nbytes // 4, dtype=torch.float32, device=device)
        target = torch.ones_like(source)
    except RuntimeError as error:  # PyTorch's own class, derived from it, is not the same in all versions
        raise RuntimeMissingError(f"no memory on {device} to measure a copy of {nbytes:,} bytes: {error}") from error
    return 2 * nbytes / _seconds(lambda: target.copy_(source), device) / 1e9


def _seconds(work: Callable[[], object], device: str) -> float:
    """Median time of one call after two warm ones; on a GPU by events around several, as one alone is too short."""
    import torch

    for _ in range(2):
        work()
    samples = []
    for _ in range(REPEATS):
        if device == "cpu":
            start = time.perf_counter()
            work()
            samples.append(time.perf_counter() - start)
        else:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record(torch.cuda.current_stream(device))
            for _ in range(REPEATS):
                work()
            end.record(torch.cuda.current_stream(device))
            end.synchronize()
            samples.append(begin.elapsed_time(end) / REPEATS / 1e3)
    return float(np.median(samples))
