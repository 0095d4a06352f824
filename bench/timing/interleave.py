"""Times clicks of several runs in turn, so that whatever the machine does meets all of them."""

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
    """Of one run: see :func:`mfp.bench.timing.record.new_run`.

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
    """Every run clicks on the same objects, one click of each run after the other, in an order that turns.

    Args:
        runs: by name; :data:`~mfp.bench.timing.cases.REFERENCE` among them.
        image: H×W×3 uint8 RGB.
        objects: the clicks, object by object, from :func:`scripts`.
        warmup: as many clicks before, on the first object, are thrown away.
        progress: called after each click of all runs, those of the warm-up too.
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
    """The mask, and the milliseconds of the click's stages and of all of it, from the call to the mask."""
    start = time.perf_counter()
    mask = clicked.click(click.x, click.y, click.positive)
    total = (time.perf_counter() - start) * 1e3
    return mask, {**dict(stages_of(clicked.timing)), "total": total}


def _is_defined(reference: Any) -> bool:
    """Whether the reference's map is one: where the release divides by zero, it is not, and masks mean nothing."""
    return bool(np.isfinite(reference.probability).all())
