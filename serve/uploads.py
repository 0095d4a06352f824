"""Photographs from strangers: what a file says of itself is read before anything is decoded."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings

from ..engine.errors import ImageError, OptionError, TooLargeError
from ..engine.image import U8, decode_image

# Pillow's names; nothing else is opened, whatever the file's name or Content-Type says.
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}
SCAN = b"\xff\xda"  # begins a scan of a JPEG file; its compressed data never has these two bytes
SCANS = 100  # each goes over all pixels, and takes a few bytes to ask for; photographs have 1, progressive ones some 10


NAME = 255  # characters of a photograph's name


def checked_name(name: str) -> str:
    """A photograph's name without its folders.

    Raises:
        OptionError: it is too long, or has characters that no name has: line breaks, NUL and their like.
    """
    if len(name) > NAME:
        raise OptionError(f"expected a photograph's name of at most {NAME} characters, got {len(name)}")
    odd = [character for character in name if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")]
    if odd:
        raise OptionError(f"expected a photograph's name without control characters, got {odd[0]!r} in it")
    last = re.split(r"[/\\]", name)[-1]
    return "" if last in (".", "..") else last


def check_header(data: bytes, max_pixels: int) -> str:
    """Read an image file's header; nothing is decoded, so that a small file cannot ask for a large memory.

    Returns:
        The file's media type, of :data:`MEDIA_TYPES`, as its content says.

    Raises:
        ImageError: it is no image of these kinds.
        TooLargeError: it has more pixels than ``max_pixels``.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is a warning: ours is asked below
            with Image.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES)) as image:
                (width, height), kind = image.size, image.format
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"expected an image of at most {max_pixels:,} pixels: {error}") from None
    except Exception as error:  # of a damaged file: whatever its parser stumbles over
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
    return MEDIA_TYPES[str(kind)]


def _png_is_whole(data: bytes) -> bool:
    """Whether each chunk lies within the file. OpenCV first reserves what a chunk says it has, up to 4 GB."""
    place = len(b"\x89PNG\r\n\x1a\n")
    while place + 12 <= len(data):
        place += 12 + int.from_bytes(data[place : place + 4], "big")  # length, name and check sum, and the chunk itself
        if place <= len(data) and data[place - 8 : place - 4] == b"IEND":
            return True
    return False


def decode_upload(data: bytes, max_pixels: int) -> tuple[U8, str]:
    """A photograph as :func:`~mfp.engine.image.read_image` gives it, and its media type.

    Raises:
        ImageError: it is no image, or damaged.
        TooLargeError: it has more pixels than ``max_pixels``.
    """
    media_type = check_header(data, max_pixels)
    pixels = decode_image(data)
    if pixels.shape[0] * pixels.shape[1] > max_pixels:  # two readers of one file may disagree
        raise TooLargeError(
            f"expected an image of at most {max_pixels:,} pixels, got {pixels.shape[1]}×{pixels.shape[0]}"
        )
    return pixels, media_type
