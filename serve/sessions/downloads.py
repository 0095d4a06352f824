"""Files for download: masks, probability maps and annotations."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import ImageError, OptionError
from ...engine.mask import Mask
from ..schemas import SessionState

JSON = "application/json"
PNG = "image/png"
NPY = "application/octet-stream"
SUFFIXES = {JSON: ".json", PNG: ".png", NPY: ".npy"}


class Download(NamedTuple):
    """A file's bytes, their media type, and the file's name, empty if it has none."""

    data: bytes
    media_type: str
    name: str = ""

    def named(self, photograph: str, what: str = "") -> Download:
        """Return the same file, named after the photograph without its extension, with ``what`` added."""
        stem = photograph.rpartition(".")[0] or photograph
        suffix = SUFFIXES.get(self.media_type, "")
        return self._replace(name=f"{stem}{what}{suffix}" if stem else "")

    @property
    def disposition(self) -> str:
        """Content-Disposition (RFC 6266), empty without a name. Browsers show the file, and save it under this name."""
        plain = self.name.isascii() and not set(self.name) & set('"\\%')
        value = f'filename="{self.name}"' if plain else f"filename*=UTF-8''{quote(self.name, safe='')}"
        return f"inline; {value}" if self.name else ""


def mask_file(mask: Mask, form: str) -> Download:
    """Return a mask as ``png`` (8 bits, 255 on the object), ``rle`` or ``polygons`` (COCO's, as JSON).

    Raises:
        OptionError: the form is none of these.
    """
    if form == "png":
        return Download(png(mask.array.view(np.uint8) * np.uint8(255)), PNG)
    if form == "rle":
        return _json(mask.to_rle())
    if form == "polygons":
        return _json([polygon.ravel().tolist() for polygon in mask.to_polygons()])
    raise OptionError(f"expected the format png, rle or polygons, got {form!r}")


def probability_file(probability: NDArray[np.float32], form: str) -> Download:
    """Return a probability map as ``png`` (0 to 255) or ``npy`` (float32 H×W).

    Raises:
        OptionError: the form is none of these.
    """
    if form == "png":
        return Download(png((probability * 255).round().astype(np.uint8)), PNG)
    if form == "npy":
        data = io.BytesIO()
        np.save(data, probability)
        return Download(data.getvalue(), NPY)
    raise OptionError(f"expected the format png or npy, got {form!r}")


def coco_file(state: SessionState) -> Download:
    """Return a COCO file of one image: an annotation for each object that has pixels, including hidden ones."""
    annotations: list[dict[str, Any]] = []
    for entry in state.objects:
        if entry.box is None:
            continue
        row_min, row_max, col_min, col_max = entry.box
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": 1,
                "category_id": 1,
                "segmentation": entry.rle.model_dump(),
                "bbox": [col_min, row_min, col_max - col_min + 1, row_max - row_min + 1],
                "area": entry.area,
                "iscrowd": 0,
            }
        )
    return _json(
        {
            "images": [{"id": 1, "width": state.width, "height": state.height, "file_name": state.name or state.id}],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "object"}],
        }
    )


def png(grey: NDArray[np.uint8]) -> bytes:
    """Encode an H×W uint8 array as a PNG file.

    Raises:
        ImageError: a side is longer than PNG allows.
    """
    import cv2

    try:
        _, encoded = cv2.imencode(".png", grey)
    except cv2.error as error:
        raise ImageError(f"cannot write {grey.shape[1]}×{grey.shape[0]} pixels as PNG: {error}") from None
    data: bytes = encoded.tobytes()
    return data


def _json(value: Any) -> Download:
    return Download(json.dumps(value, separators=(",", ":")).encode(), JSON)
