"""Clicks on the held-out photographs: how the mean IoU grows from click to click."""

from __future__ import annotations

import numpy as np
import torch

from ..export.models.blocks import MfpModule
from .loss import iou
from .photographs import Photographs
from .rounds import Rounds

CLICKS = (1, 2, 3, 5, 10)


@torch.no_grad()
def mean_iou(
    network: MfpModule, photographs: Photographs, count: int, size: int, batch: int, device: str
) -> list[float]:
    """Mean IoU after each number of :data:`CLICKS`, of a network in eval mode, at ``size``×``size`` without flip.

    The simulated user of spec section 6 clicks; the crop follows the true object from the second click on, which
    is cheaper than the region of interest of a session and close to it.
    """
    targets = photographs.validation(count)
    scores = []
    for start in range(0, len(targets), batch):
        part = targets[start : start + batch]
        clicks = np.full(len(part), max(CLICKS), np.int64)
        rounds = Rounds(
            photographs,
            lambda n, rng, part=part: part,  # type: ignore[misc]
            lambda n, rng, clicks=clicks: clicks,  # type: ignore[misc]
            size,
            len(part),
            device,
            (0, start),
            network.spec.n_early,
            network.spec.r_max,
            simulate=False,
        )
        rows = []
        for step in range(max(CLICKS) + 1):
            logits = network(*rounds.inputs())
            rounds.answer(logits)
            if step in CLICKS:
                rows.append(iou(logits, rounds.target))
        scores.append(torch.stack(rows, 1))
    found: list[float] = torch.cat(scores).mean(0).tolist() if scores else []
    return found
