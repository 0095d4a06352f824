"""Bytes that the kernels of a click must move, computed from the sizes; bytes / bandwidth is the floor of the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...engine.contract import INPUT_CHANNELS, Size
from ...kernels.block import BLOCK, CLICK, PLACED, RESULT, WINDOW, mask_words

F32 = 4  # bytes; a key of the window has the same size
HISTOGRAMS = WINDOW["histogram"].itemsize


class ClickSizes(NamedTuple):
    """Sizes of a click's data, with the whole image as its region of interest.

    Attributes:
        image: (H, W) in pixels.
        size: (h, w) of the network's maps.
        clicks: number of clicks.
        windows: (rows, columns) of the box that holds an item's window, for each item of the batch.
    """

    image: Size
    size: Size
    clicks: int
    windows: Sequence[Size]


def bytes_moved(sizes: ClickSizes) -> dict[str, int]:
    """Least number of bytes that each kernel reads and writes: every necessary byte once."""
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
    """(rows, columns) of the box around a click at map coordinates (y, x), as ``mfp_begin`` computes it."""
    rows, columns = (
        max(min(math.ceil(at + radius) + 1, length) - max(math.floor(at - radius), 0), 0)
        for at, length in zip((y, x), size, strict=True)
    )
    return rows, columns


def _sampled(length: int, target: int) -> int:
    """Number of the ``length`` positions that a bilinear resize to ``target`` with aligned corners reads."""
    below = (np.arange(target) * ((length - 1) / max(target - 1, 1))).astype(int)
    return len(np.union1d(below, np.minimum(below + 1, length - 1)))
