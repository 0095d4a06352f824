"""Tables of the kernel timings of a click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Targets on an H100 at the default sizes.
ASKED = {"click_device": "≤ 60", "click_host": "≤ 30", "modulation_ratio": "≥ 20"}
NAMES = {
    "click_device": "later click without its network, one graph, by events",
    "click": "the same, session.click() by the clock, mask on the host",
    "click_host": "of that, host at work",
    "undo": "session.undo() by the clock",
    "undo_host": "of that, host at work",
    "modulation": "modulation, kernels in one graph, by events",
    "modulation_wall": "the same by the clock",
    "modulation_torch": "modulation, PyTorch operators, by events",
    "modulation_torch_wall": "the same by the clock",
    "upload": "image to the GPU",
    "upload_pinned": "the same from page-locked memory",
    "session": "a new session, image on the host",
    "session_in_place": "a new session, image on the GPU",
}


def tables(record: dict[str, Any]) -> list[Any]:
    """Tables for rich of a record of :mod:`mfp.bench.kernel_timing.run`."""
    from rich.table import Table

    (height, width), (map_height, map_width) = record["image"], record["size"]
    what = f"{width}×{height}, batch {record['batch']} at {map_height}×{map_width}, {record['clicks']} clicks"
    first = Table(
        title=f"kernels of a click: {what}; µs",
        caption=f"floor: bytes over {record['bandwidth'] / 1e9:.0f} GB/s; a kernel that does nothing: "
        f"{np.median(record['nothing']):.2f} µs",
    )
    for name in ("kernel", "median", "p95", "p99", "kB", "floor", "× floor"):
        first.add_column(name, justify="left" if name == "kernel" else "right")
    for kernel, samples in record["kernels"].items():
        moved = record["bytes"][kernel]
        floor = moved / record["bandwidth"] * 1e6
        times = _percentiles(samples)
        first.add_row(kernel, *times, f"{moved / 1e3:.0f}", f"{floor:.2f}", f"{np.median(samples) / floor:.1f}")

    second = Table(title=f"around the kernels: {what}; µs", caption="asked: on an H100, at the default sizes")
    for name in ("what", "median", "p95", "p99", "asked"):
        second.add_column(name, justify="left" if name == "what" else "right")
    for key, name in NAMES.items():
        if key in record["times"]:
            second.add_row(name, *_percentiles(record["times"][key]), ASKED.get(key, ""))
    for key, name in (("", "by events"), ("_wall", "by the clock")):
        if f"modulation_torch{key}" in record["times"]:
            medians = [np.median(record["times"][f"modulation{kind}{key}"]) for kind in ("_torch", "")]
            asked = "" if key else ASKED["modulation_ratio"]
            second.add_row(f"PyTorch operators over kernels, {name}", f"{medians[0] / medians[1]:.1f}", "", "", asked)
    return [first, second]


def _percentiles(samples: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in np.percentile(samples, (50, 95, 99))]
