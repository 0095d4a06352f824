"""Label Studio's run-length encoding of brush masks.

It is a stream of bits, highest first. The header has the number of bytes (32 bits), the bits of a byte less 1 (5), and
four sizes of run lengths less 1 (4 each). Each run has a 1, the index of one of the four sizes (2), its length less 1
in that many bits, and the byte (8). The bytes are the picture's, row by row, red, green, blue and opacity of each
pixel: all 255 on the object, else 0.
"""

from __future__ import annotations

import numpy as np

from ...engine.mask import Mask

SIZES = (3, 4, 8, 16)  # bits
CHANNELS = 4
LONGEST = 1 << SIZES[-1]  # bytes of the longest run


def brush_rle(mask: Mask) -> list[int]:
    """The mask as Label Studio's ``value.rle``: the stream's bytes, 0 to 255, the last one padded with zero bits."""
    pixels = mask.array.ravel()
    ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, pixels.size)
    lengths = np.diff(ends, prepend=0) * CHANNELS
    bits = [f"{pixels.size * CHANNELS:032b}{7:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    on = bool(pixels[0])
    for length in lengths.tolist():
        byte = "11111111" if on else "00000000"
        bits += ["111" + "1" * SIZES[-1] + byte] * ((length - 1) // LONGEST)
        rest = (length - 1) % LONGEST  # less 1, as in the stream
        which = next(number for number, size in enumerate(SIZES) if rest < 1 << size)
        bits.append(f"1{which:02b}{rest:0{SIZES[which]}b}{byte}")
        on = not on
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return list(int(stream, 2).to_bytes(len(stream) // 8, "big"))
