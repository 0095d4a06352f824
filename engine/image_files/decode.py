"""Decoder of image files by OpenCV, after header checks that OpenCV itself does not make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .header import Header, read_header


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read the bytes of an image file.

    Raises:
        ImageError: the path cannot be read, or is no file.
    """
    given, name = path, str(path)
    if not isinstance(given, (str, os.PathLike)):
        raise ImageError(
            f"expected the path of an image's file, got {type(given).__name__}; pixels and PIL images go to Session or "
            "set_image as they are"
        )
    if "\0" in name:
        raise ImageError(f"cannot read {name!r}: no file's name has a null character in it")
    if name.startswith(("http:", "https:", "file:", "s3:", "gs:", "data:")) and not os.path.exists(given):
        raise ImageError(f"cannot read {name[:200]}: expected the path of a file on this machine, got an address")
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # reading a pipe or device might never end
            raise ImageError(f"cannot read {path}: expected a file")
        return path.read_bytes()  # cv2.imread cannot open all Unicode paths on Windows, nor report errors
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from None


def checked_header(data: bytes, name: str) -> Header:
    """Read the header of an image file, and check that the file is complete.

    Raises:
        ImageError: the file is incomplete or no readable image.
    """
    try:
        header = read_header(data)
    except ImageError as error:
        raise ImageError(f"{name} is no image that can be read: {error}") from None
    if not header.whole:
        raise ImageError(
            f"{name} is no image that can be read: its {header.kind} data are cut short after {len(data):,} bytes; "
            "copy it again"
        )
    return header


def check_pages(header: Header, name: str) -> None:
    """Refuse a file of several pages or frames.

    Raises:
        ImageError: the file has more than one.
    """
    if header.pages > 1:
        raise ImageError(
            f"{name} has {header.pages} pages or frames; expected one picture: save the one that is meant as a file of "
            "its own"
        )


def check_photograph(header: Header, name: str) -> None:
    """Refuse a file whose picture would not be decoded correctly as 8-bit RGB.

    Raises:
        ImageError: the picture would be decoded wrongly; the message states what the file holds.
    """
    check_pages(header, name)
    if header.colours:
        raise ImageError(f"{name} has {header.colours}, which is not converted here: save it as RGB first")
    if header.numbers != "unsigned" or header.bits not in (1, 2, 4, 8, 16):
        raise ImageError(
            f"{name} has {header.numbers} values of {header.bits} bits; expected unsigned ones of 8 or 16 bits: scale "
            "it to 0 to 255 first"
        )
    if header.alpha == "premultiplied":
        raise ImageError(
            f"{name} has colours multiplied by their alpha, which dims them: save it without transparency first"
        )
    if header.inverted and header.bits == 16:
        raise ImageError(f"{name} has 16 bits a channel with 0 as white: save it with 0 as black first")


def straight(data: bytes, header: Header) -> bytes:
    """The file's bytes; a TIFF is patched so that libtiff does not multiply its colours by their alpha."""
    if header.kind != "TIFF" or header.alpha != "straight" or header.extra is None:
        return data
    value = (1).to_bytes(2, "big" if header.big_endian else "little")
    return data[: header.extra] + value + data[header.extra + 2 :]


def decoded(data: bytes, flags: int, name: str) -> NDArray[Any]:
    """Decode the pixels of an image file with OpenCV.

    Raises:
        ImageError: the file is damaged or too large.
    """
    import cv2

    pixels = None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:  # OpenCV refuses more than 2^30 pixels, or has no memory for fewer
        raise ImageError(f"cannot decode {name}: too large or damaged ({error})") from None
    if pixels is None:
        raise ImageError(
            f"{name} is no image that can be read ({len(data):,} bytes): it is damaged, or of a kind that OpenCV does "
            "not decode"
        )
    return np.asarray(pixels)
