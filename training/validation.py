"""Validation on the held-out photographs: mean IoU after 1 to 10 simulated clicks."""

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
    """Mean IoU in [0, 1] after each number of clicks in :data:`CLICKS`.

    The simulated user of spec section 6 clicks. The crop follows the true object from the second click on, which
    is cheaper than the region of interest of a session and close to it.

    Args:
        network: network in eval mode.
        photographs: data whose held-out objects are clicked on.
        count: number of objects.
        size: height and width of the network's input in pixels; there is no flip.
        batch: objects per pass.
        device: device as in PyTorch, the one of the photographs.
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
