"""Decoder of image files inside JSON: base64 texts and data URIs."""

from __future__ import annotations

import base64
import binascii

from ...engine.errors import ImageError


def image_bytes(text: str) -> bytes:
    """Bytes of the image file in a base64 text, or in a data URI (``data:image/png;base64,…``).

    Raises:
        ImageError: the text is neither.
    """
    head, comma, body = text.partition(",")
    if not comma:
        body = text
    elif not (head.startswith("data:") and head.endswith(";base64")):
        raise ImageError(f"expected an image as base64, or as data:image/…;base64,…, got {head[:60]!r}")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"expected an image as base64, got text that is none ({error})") from None
