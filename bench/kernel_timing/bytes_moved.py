"""Bytes that the kernels of a click must move, from the sizes alone: over the bandwidth, the floor of their time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...engine.contract import INPUT_CHANNELS, Size
from ...kernels.block import BLOCK, CLICK, PLACED, RESULT, WINDOW, mask_words

F32 = 4  # bytes, as many as a key of the window has
HISTOGRAMS = WINDOW["histogram"].itemsize


class ClickSizes(NamedTuple):
    """What a click works on, with the whole image as its region.

    Attributes:
        image: (H, W) in pixels.
        size: (h, w) of the network's maps.
        clicks: how many there are.
        windows: (rows, columns) of the box that holds an item's window, for each item of the batch.
    """

    image: Size
    size: Size
    clicks: int
    windows: Sequence[Size]


def bytes_moved(sizes: ClickSizes) -> dict[str, int]:
    """By kernel, what it reads and writes at least: every byte once, nothing that it could have left out."""
    (image_height, image_width), (height, width), clicks, windows = sizes
    batch, map_bytes, in_windows = len(windows), F32 * height * width, F32 * sum(r * c for r, c in windows)
    sampled = _sampled(image_height, height) * _sampled(image_width, width)
    pixels, bits = image_height * image_width, 4 * mask_words(image_height, image_width)
    read_from_map = F32 * _sampled(height, image_height) * _sampled(width, image_width)
    return {
        "mfp_begin": BLOCK.itemsize + clicks * CLICK.itemsize + batch * (HISTOGRAMS + clicks * PLACED.itemsize),
        "mfp_crop": (3 + F32) * sampled + batch * (INPUT_CHANNELS["image"] + INPUT_CHANNELS["prev_mask"]) * map_bytes,
        "mfp_disks": batch * INPUT_CHANNELS["clicks"] * map_bytes,
        "mfp_bootstrap": batch * 2 * map_bytes,
        "mfp_window": 2 * in_windows,
        "mfp_select_second": in_windows,
        "mfp_select_third": in_windows,
        "mfp_modulate": batch * 2 * map_bytes + in_windows,
        "mfp_probability": (batch + 1) * map_bytes,
        "mfp_paste": read_from_map + F32 * pixels + bits + RESULT.itemsize,
        "mfp_unpack": bits + pixels,
    }


def window_box(y: float, x: float, radius: float, size: Size) -> Size:
    """(rows, columns) of the box around a click of map coordinates (y, x), as ``mfp_begin`` lays it."""
    rows, columns = (
        max(min(math.ceil(at + radius) + 1, length) - max(math.floor(at - radius), 0), 0)
        for at, length in zip((y, x), size, strict=True)
    )
    return rows, columns


def _sampled(length: int, target: int) -> int:
    """How many of ``length`` positions are read where they are resized to ``target``, bilinear, corners aligned."""
    below = (np.arange(target) * ((length - 1) / max(target - 1, 1))).astype(int)
    return len(np.union1d(below, np.minimum(below + 1, length - 1)))
