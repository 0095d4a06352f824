"""Decoding of uploaded, untrusted photographs: a file's header is checked before anything is decoded."""

from __future__ import annotations

import io
import re
import threading
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..engine.errors import ImageError, OptionError
from ..engine.image import U8, decode_image
from .errors import TooLargeError

# Accepted formats, by Pillow's names. No other is opened, whatever the file's name or Content-Type.
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
SCAN = b"\xff\xda"  # marker that begins a scan of a JPEG file; never occurs in its compressed data
SCANS = 100  # maximum; each costs few bytes but a pass over all pixels. Photographs have 1, progressive ones some 10
BYTES = 12  # about so many per pixel while a photograph is decoded and turned; OpenCV decodes to 8 bits row by row


NAME = 255  # maximum characters of a photograph's name


def checked_name(name: str) -> str:
    """Return a photograph's name without its folders.

    Raises:
        OptionError: the name is too long, or has characters that no name has: line breaks, NUL and the like.
    """
    if len(name) > NAME:
        raise OptionError(f"expected a photograph's name of at most {NAME} characters, got {len(name)}")
    odd = [character for character in name if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
    if odd:
        raise OptionError(f"expected a photograph's name without control characters, got {odd[0]!r} in it")
    last = re.split(r"[/\\]", name)[-1]
    return "" if last in (".", "..") else last


def check_header(data: bytes, max_pixels: int) -> str:
    """Check an image file's header. Nothing is decoded, so a small file cannot make the server allocate much memory.

    Returns:
        The file's media type, one of :data:`MEDIA_TYPES`, found from its content.

    Raises:
        ImageError: the file is not an image of these formats.
        TooLargeError: the image has more pixels than ``max_pixels``.
    """
    return _header(data, max_pixels)[0]


def _header(data: bytes, max_pixels: int) -> tuple[str, int]:
    """Return the media type and the number of pixels."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is a warning; max_pixels is checked below
            with Image.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES)) as image:
                (width, height), kind = image.size, image.format
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"expected an image of at most {max_pixels:,} pixels: {error}") from None
    except Exception as error:  # a damaged file can make its parser raise any exception
        raise ImageError(
            f"expected a JPEG, PNG, WebP, TIFF or BMP file, got {len(data):,} bytes that are none, or damaged"
        ) from error
    if width * height > max_pixels:
        raise TooLargeError(
            f"expected an image of at most {max_pixels:,} pixels, got {width}×{height}; make it smaller first"
        )
    if width < 1 or height < 1:
        raise ImageError(f"expected an image with pixels, got {width}×{height}")
    if (kind == "PNG" and not _png_is_whole(data)) or (kind == "JPEG" and data.count(SCAN) > SCANS):
        raise ImageError(f"expected a sound {kind} file, got a damaged one; save it again")
    return MEDIA_TYPES[str(kind)], width * height


def _png_is_whole(data: bytes) -> bool:
    """Return whether each chunk lies within the file. OpenCV allocates a chunk's declared length first, up to 4 GB."""
    place = len(b"\x89PNG\r\n\x1a\n")
    while place + 12 <= len(data):
        place += 12 + int.from_bytes(data[place : place + 4], "big")  # length, name and checksum, and the chunk's data
        if place <= len(data) and data[place - 8 : place - 4] == b"IEND":
            return True
    return False


def decode_upload(data: bytes, max_pixels: int, known: bool = False) -> tuple[U8, str]:
    """Decode a photograph as :func:`~mfp.engine.image.read_image` does, and return it with its media type.

    Args:
        data: bytes of the file.
        max_pixels: maximum number of pixels.
        known: whether the file was accepted before; see :func:`~mfp.engine.image.decode_image`.

    Returns:
        The image, H×W×3 uint8 RGB, and one of :data:`MEDIA_TYPES`.

    Raises:
        ImageError: the file is not an image, is damaged, or would not be read correctly.
        TooLargeError: the image has more pixels than ``max_pixels``.
    """
    media_type = check_header(data, max_pixels)
    pixels = decode_image(data, known=known)
    if pixels.shape[0] * pixels.shape[1] > max_pixels:  # two readers of one file may disagree
        raise TooLargeError(
            f"expected an image of at most {max_pixels:,} pixels, got {pixels.shape[1]}×{pixels.shape[0]}"
        )
    return pixels, media_type


class DecodingRoom:
    """Memory budget for photographs that are being decoded; each waits until there is room. Safe between threads.

    Args:
        limit: bytes for all of them; a single photograph may take more.
        make_room: function called after a photograph has its place and before it is decoded.
    """

    def __init__(self, limit: int, make_room: Callable[[], None] = lambda: None) -> None:
        self._limit, self._make_room = limit, make_room
        self._changed = threading.Condition()
        self._taken = 0

    @property
    def taken(self) -> int:
        """Approximate number of bytes in use."""
        return self._taken

    @contextmanager
    def decoded(self, data: bytes, max_pixels: int, known: bool = False) -> Iterator[tuple[U8, str]]:
        """Context manager that calls :func:`decode_upload` once there is room, and keeps that room until its end."""
        needed = _header(data, max_pixels)[1] * BYTES
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + needed <= self._limit)
            self._taken += needed
        try:
            self._make_room()
            yield decode_upload(data, max_pixels, known)
        finally:
            with self._changed:
                self._taken -= needed
                self._changed.notify_all()
