"""Workload of the benchmarks: a photograph, and seeded clicks on it that are the same on every machine."""

from __future__ import annotations

import hashlib
from pathlib import PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.contract import Size
from ..engine.sample import sample_photograph
from ..kernels.clicks import Click

LATER = 8  # clicks of an object after its first: they include both kinds of modulation (N = 7)
PAUSE = 0.02  # seconds before a click: threads of the previous run spin for a while before they sleep


def scripts(height: int, width: int, clicks: int, seed: int) -> list[list[Click]]:
    """Clicks on objects, object by object, with ``clicks`` later clicks in total; the same on every machine."""
    counts = [min(LATER, clicks - done) for done in range(0, clicks, LATER)]
    return [seeded_clicks(f"object {i}", height, width, 1 + count, seed) for i, count in enumerate(counts)]


def seeded_clicks(name: str, height: int, width: int, count: int, seed: int = 0) -> list[Click]:
    """Clicks that depend only on the arguments, the same on every machine.

    The first click is positive and within the middle fifth of both sides. The others are anywhere, positive or
    negative.

    Args:
        name: name of the image; only the last part of a path counts.
        height, width: size of the image in pixels.
        count: number of clicks.
        seed: any integer.
    """
    digest = hashlib.sha256(f"{seed} {PurePath(name).name}".encode("utf-8", "surrogatepass")).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    clicks = []
    for index in range(count):
        across, down, sign = rng.random(3)
        if index == 0:
            across, down, sign = 0.4 + 0.2 * across, 0.4 + 0.2 * down, 1.0
        clicks.append(Click(int(across * width), int(down * height), bool(sign >= 0.5), index))
    return clicks


def photograph(size: Size) -> NDArray[np.uint8]:
    """The packaged photograph resized to (H, W): uint8 H×W×3 RGB."""
    height, width = size
    return np.asarray(cv2.resize(sample_photograph(), (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
