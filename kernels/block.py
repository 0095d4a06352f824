"""The kernels' data structures as NumPy types, byte for byte as in ``click_block.h``."""

from __future__ import annotations

import numpy as np

NOT_FINITE = 1  # status bits of a result
NEEDS_BOOTSTRAP = 2

_BINS, _DIGITS = 2048, 3

#: One click, in image pixels or in map pixels (``mapped``).
CLICK = np.dtype([("y", "f8"), ("x", "f8"), ("positive", "i4"), ("index", "i4")])

#: Header of a click's result; the mask's bits follow it.
RESULT = np.dtype(
    [("row_min", "i4"), ("row_max", "i4"), ("col_min", "i4"), ("col_max", "i4"), ("status", "i4"), ("reserved", "3i4")]
)

#: Parameters of one click; ``n_clicks`` CLICKs follow it. Addresses are in GPU memory.
BLOCK = np.dtype(
    [
        ("image", "u8"),
        ("image_row", "i8"),
        ("image_column", "i8"),
        ("image_channel", "i8"),
        ("probability", "u8"),
        ("map", "u8"),
        ("result", "u8"),
        ("r_max", "f8"),
        ("threshold", "f4"),
        ("disk_radius", "f4"),
        ("height", "i4"),
        ("width", "i4"),
        ("row_min", "i4"),
        ("row_max", "i4"),
        ("col_min", "i4"),
        ("col_max", "i4"),
        ("n_clicks", "i4"),
        ("newest", "i4"),
        ("n_early", "i4"),
        ("compare_rgb", "i4"),
        ("mapped", "i4"),
        ("bootstrapped", "i4"),
    ]
)

#: Working memory for clicks of one network size. Kernels take it by value.
LANE = np.dtype(
    [
        ("image", "u8"),
        ("prev", "u8"),
        ("modulated", "u8"),
        ("clicks", "u8"),
        ("logits", "u8"),
        ("keys", "u8"),
        ("windows", "u8"),
        ("placed", "u8"),
        ("batch", "i4"),
        ("height", "i4"),
        ("width", "i4"),
        ("capacity", "i4"),
    ]
)

#: Modulation window of one batch item.
WINDOW = np.dtype(
    [
        ("radius", "f8"),
        ("farthest", "u8"),
        ("gamma", "f8"),
        ("y", "f4"),
        ("x", "f4"),
        ("row_start", "i4"),
        ("row_stop", "i4"),
        ("col_start", "i4"),
        ("col_stop", "i4"),
        ("positive", "i4"),
        ("early", "i4"),
        ("acts", "i4"),
        ("count", "i4"),
        ("nonzero", "i4"),
        ("prefix", "u4", _DIGITS),
        ("rank", "i4", _DIGITS),
        ("histogram", "u4", (_DIGITS, _BINS)),
    ],
    align=True,
)

#: A click on a batch item's map.
PLACED = np.dtype([("y", "f4"), ("x", "f4"), ("positive", "i4"), ("cut", "f4")])


def mask_words(height: int, width: int) -> int:
    """Number of 32-bit words of a mask's bits: one bit per pixel, lowest bit leftmost, rows padded to 32 bits."""
    return height * ((width + 31) // 32)
