"""A session's photograph read from the store, and checked against the checksum of the uploaded file."""

from __future__ import annotations

import hashlib

from ...engine.errors import ImageError
from ...engine.image import U8
from ..errors import StoreError, TooLargeError
from ..stores import SessionStore
from ..uploads import DecodingRoom
from .downloads import Download


def stored_image(store: SessionStore, id: str) -> Download:
    """Return a session's photograph as it was uploaded.

    Raises:
        UnknownSessionError: no session has this id.
        StoreError: the stored file differs from the uploaded one.
    """
    record, data = store.record(id), store.image(id)
    if not isinstance(data, bytes) or (record.sha256 and hashlib.sha256(data).hexdigest() != record.sha256):
        raise StoreError("the stored photograph is damaged: its checksum is not that of the upload; upload it again")
    return Download(data, record.media_type, record.name)


def stored_pixels(store: SessionStore, id: str, decoding: DecodingRoom) -> U8:
    """Return the photograph's pixels, H×W×3 uint8 RGB, as they were when the session was created.

    Raises:
        UnknownSessionError: no session has this id.
        StoreError: the stored file differs from the uploaded one.
    """
    record, image = store.record(id), stored_image(store, id)
    try:
        with decoding.decoded(image.data, record.width * record.height, known=True) as (pixels, _):
            if pixels.shape[:2] != (record.height, record.width):
                raise StoreError(
                    f"the stored photograph is damaged: expected {record.width}×{record.height} pixels, "
                    f"found {pixels.shape[1]}×{pixels.shape[0]}"
                )
            return pixels
    except (ImageError, TooLargeError) as error:
        raise StoreError(f"the stored photograph is damaged: {error}") from error
