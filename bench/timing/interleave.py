"""Timing of several runs with interleaved clicks, so that noise on the machine affects all of them equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.mask import Mask
from ...engine.session import Session
from ...kernels.clicks import Click
from ..overlap import iou
from ..workload import PAUSE
from .cases import REFERENCE, Clicked, Opened, stages_of


@dataclass
class Samples:
    """Samples of one run; ``first`` and ``later`` as in :func:`mfp.bench.timing.record.new_run`.

    Attributes:
        overlaps: IoU of each mask with the reference's.
    """

    first: list[dict[str, float]] = field(default_factory=list)
    later: list[dict[str, float]] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)

    @property
    def agreement(self) -> dict[str, float] | None:
        if not self.overlaps:
            return None
        return {"iou_mean": float(np.mean(self.overlaps)), "iou_min": min(self.overlaps)}


def clicks_in_turn(
    runs: Mapping[str, Opened],
    image: NDArray[np.uint8],
    objects: Sequence[Sequence[Click]],
    warmup: int,
    progress: Callable[[], None],
) -> dict[str, Samples]:
    """Run the same clicks on every run, one click of each run after another, in rotating order.

    Args:
        runs: loaded runs by name, with :data:`~mfp.bench.timing.cases.REFERENCE` among them.
        image: H×W×3 uint8 RGB.
        objects: clicks, object by object, from :func:`scripts`.
        warmup: number of clicks on the first object that are made before and not timed.
        progress: function called after each click of all runs, including those of the warm-up.
    """
    names = list(runs)
    samples = {name: Samples() for name in names}
    turn = 0
    warm = [objects[0][:warmup]] if warmup else []
    for number, clicks in enumerate([*warm, *objects]):
        started = {name: opened.start(image) for name, opened in runs.items()}
        for click in clicks:
            order = names[turn:] + names[:turn]
            turn = (turn + 1) % len(names)
            masks = {}
            for name in order:
                time.sleep(PAUSE)
                masks[name], row = timed_click(started[name], click)
                if number >= len(warm):
                    (samples[name].later if click.index else samples[name].first).append(row)
            if number >= len(warm) and _is_defined(started[REFERENCE.name]):
                truth = np.asarray(masks[REFERENCE.name]).view(np.int8)
                for name, mask in masks.items():
                    samples[name].overlaps.append(iou(mask, truth))
            progress()
        for clicked in started.values():
            if isinstance(clicked, Session):
                clicked.close()
    return samples


def timed_click(clicked: Clicked, click: Click) -> tuple[Mask | NDArray[np.bool_], dict[str, float]]:
    """Make a click; return the mask, and milliseconds of its stages and of the whole call as ``"total"``."""
    start = time.perf_counter()
    mask = clicked.click(click.x, click.y, click.positive)
    total = (time.perf_counter() - start) * 1e3
    return mask, {**dict(stages_of(clicked.timing)), "total": total}


def _is_defined(reference: Any) -> bool:
    """Whether the reference's map is finite. Where the release divides by zero it is not, and masks are meaningless."""
    return bool(np.isfinite(reference.probability).all())
