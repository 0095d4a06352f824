"""Label maps and mask files: images whose values are object numbers, not colours (docs/images.md)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, ImageError
from .decode import check_pages, checked_header, decoded, read_bytes, straight
from .header import PNG_SIGNATURE, Header, png_chunks

Labels = NDArray[np.integer[Any]]

_TRIMAP = (0, 128, 255)  # greys of a mask or trimap, at any place in a palette


def read_label_map(path: Path) -> Labels:
    """Read a mask file's values: H×W whole numbers from 0.

    Images of one channel, or of equal ones, give their values. A palette's indices are the values, unless the palette
    has only black, 128 and white, as in a trimap saved with a palette. Colours of RGB files stand for values: colours
    of Pascal VOC's palette for their index in it, else each colour but black for its own number, in the order of (R, G,
    B). Alpha is dropped.

    Raises:
        DatasetError: the file cannot be read as a label map.
    """
    try:
        data = read_bytes(path)
    except ImageError as error:
        raise DatasetError(str(error)) from None
    return decode_label_map(data, str(path))


def decode_label_map(data: bytes, name: str) -> Labels:
    """Decode a mask file's values, as :func:`read_label_map` does.

    Raises:
        DatasetError: the file cannot be read as a label map.
    """
    import cv2

    try:
        header = checked_header(data, name)
        _check(header, name)
        if header.palette is not None:
            try:
                palette, grey = _palette(data, header), _with_grey_palette(data, header)
            except (ValueError, IndexError):
                raise ImageError(f"{name} has a damaged palette") from None
            return _from_palette(_one_channel(decoded(grey, cv2.IMREAD_UNCHANGED, name)), palette, name)
        pixels = decoded(straight(data, header), cv2.IMREAD_UNCHANGED, name)
    except ImageError as error:
        reason = str(error).removeprefix(f"{name} is no image that can be read: ").replace(f"{name} has", "it has", 1)
        raise DatasetError(f"{name} is no mask that can be read: {reason}") from None
    if pixels.dtype.kind not in "ui" or (pixels.dtype.kind == "i" and pixels.min() < 0):
        found = f"{pixels.dtype} values" + (f" down to {pixels.min()}" if pixels.dtype.kind == "i" else "")
        raise DatasetError(f"{name} is no mask that can be read: expected whole numbers from 0, got {found}")
    values = _values(pixels)
    opaque = pixels.ndim == 3 and pixels.shape[2] == 4 and bool((pixels[:, :, 3] == np.iinfo(pixels.dtype).max).all())
    if header.alpha and not opaque and values.min() == values.max():
        raise DatasetError(
            f"{name} is no mask that can be read: it has one colour everywhere and seems to hold the object in its "
            "alpha channel; save that as a grey PNG"
        )
    return values


def _check(header: Header, name: str) -> None:
    check_pages(header, name)
    reason = ""
    if header.lossy:
        reason = f"{header.kind} compression changes values; expected a lossless mask: save it anew as PNG"
    elif header.orientation != 1:
        reason = f"it has the EXIF orientation {header.orientation}; expected a mask that is stored upright"
    elif header.colours:
        reason = f"it has {header.colours}; expected one channel, or RGB"
    elif header.numbers == "float" or header.bits not in (1, 2, 4, 8, 16, 32):
        reason = f"expected whole numbers of at most 32 bits, got {header.numbers} values of {header.bits} bits"
    elif header.inverted and header.bits > 1:
        reason = "0 is white in it, so that its values run backwards; save it with 0 as black"
    if reason:
        raise ImageError(f"{name} is no image that can be read: {reason}")


def _one_channel(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(pixels if pixels.ndim == 2 else pixels[:, :, 0])


def _values(pixels: NDArray[Any]) -> Labels:
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return _one_channel(pixels)
    blue, green, red = (pixels[:, :, channel] for channel in range(3))  # a fourth is alpha
    if np.array_equal(blue, green) and np.array_equal(green, red):
        return np.ascontiguousarray(blue)
    return _from_colours(red, green, blue)


def _from_colours(red: Labels, green: Labels, blue: Labels) -> Labels:
    codes = (red.astype(np.int64) << 32) | (green.astype(np.int64) << 16) | blue
    colours, places = np.unique(codes, return_inverse=True)
    palette = [(int(code) >> 32, int(code) >> 16 & 0xFFFF, int(code) & 0xFFFF) for code in colours]
    indices = [_voc_index(*colour) for colour in palette]
    if None in indices:  # black, if present, is first
        indices = list(range(len(palette))) if colours[0] == 0 else list(range(1, len(palette) + 1))
    labels: Labels = np.array(indices, np.int32)[places.reshape(codes.shape)]
    return labels


def _voc_index(red: int, green: int, blue: int) -> int | None:
    """Index of a colour in Pascal VOC's palette, None for any other colour.

    The palette spreads an index's bits: the lowest three are the highest of R, G and B, the next three the second.
    """
    if max(red, green, blue) > 255:
        return None
    index = 0
    for level in range(8):  # bits of a colour, from the highest on
        for channel, value in enumerate((red, green, blue)):
            if value >> (7 - level) & 1:
                index |= 1 << (3 * level + channel)
    return index if index < 256 else None


def _from_palette(indices: NDArray[Any], palette: NDArray[np.uint8], name: str) -> Labels:
    """Values of indices into a palette: the indices themselves, or the greys of a trimap."""
    used = np.unique(indices).tolist()
    colours = {index: tuple(palette[index].tolist()) for index in used}
    if all(_voc_index(*colour) == index for index, colour in colours.items()):
        return indices
    greys = [colour[0] for colour in colours.values() if len({*colour}) == 1 and colour[0] in _TRIMAP]
    if len(greys) == len({*greys}) == len(used):
        values: Labels = palette[:, 0][indices]
        return values
    if palette[0].any() and (0, 0, 0) in colours.values():
        raise DatasetError(
            f"{name} is no mask that can be read: black is not index 0 of its palette, so that either its indices or "
            "its colours could be meant; save it as grey PNG of whole numbers, 0 for background"
        )
    return indices


def _palette(data: bytes, header: Header) -> NDArray[np.uint8]:
    """The colour table, 256×3 RGB; black for entries that the file lacks."""
    start, count = header.palette or (0, 0)
    palette = np.zeros((256, 3), np.uint8)
    count = min(count, 256)
    if header.kind == "PNG":
        palette[:count] = np.frombuffer(data, np.uint8, 3 * count, start).reshape(-1, 3)
    elif header.kind == "BMP":
        size = _entry(data)
        palette[:count] = np.frombuffer(data, np.uint8, size * count, start).reshape(-1, size)[:, 2::-1]
    else:
        words = np.frombuffer(data, ">u2" if header.big_endian else "<u2", 3 * count, start).reshape(3, -1)
        palette[:count] = (words >> 8 if words.max() > 255 else words).T
    return palette


def _with_grey_palette(data: bytes, header: Header) -> bytes:
    """The file with a palette in which colour i is the grey i, as OpenCV returns colours and no indices."""
    start, count = header.palette or (0, 0)
    greys = np.arange(1 << header.bits if header.kind != "BMP" else count, dtype=np.uint8)
    if header.kind == "PNG":
        kept = {name: data[at : at + length] for name, at, length in png_chunks(data) if name == b"IHDR"}
        body = b"".join(data[at : at + length] for name, at, length in png_chunks(data) if name == b"IDAT")
        chunks = (b"IHDR", kept[b"IHDR"]), (b"PLTE", np.repeat(greys, 3).tobytes()), (b"IDAT", body), (b"IEND", b"")
        return PNG_SIGNATURE + b"".join(
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
            for name, content in chunks
        )
    if header.kind == "BMP":
        table = np.repeat(greys, _entry(data)).tobytes()
    else:
        words = (greys.astype(np.uint16) * 257).astype(">u2" if header.big_endian else "<u2")
        table = np.tile(words, 3)[: 3 * count].tobytes()
    return data[:start] + table + data[start + len(table) :]


def _entry(data: bytes) -> int:
    """Number of bytes of a colour in a BMP's palette."""
    return 3 if data[14:18] == b"\x0c\0\0\0" else 4
