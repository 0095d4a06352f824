"""CVAT interactor: a nuclio function that gets the image and all points after each click (deploy/cvat).

CVAT sends positive and negative points as two lists. Their common order is not in the request, and matters to MFP. It
is taken from earlier requests, because most requests add one point to the one before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import ClickError, ImageError, OptionError
from ...engine.mask import Mask
from ...engine.network import Network
from .base64_image import image_bytes
from .replay import ClickAt, Replay


class Interactor:
    """Handler of CVAT's requests on one network. Any number of threads may call it.

    Args:
        network: network from :func:`~mfp.engine.network.load_network`.
        options: options of :class:`~mfp.engine.session.Session` (``flip``, ``threshold``, …).
    """

    def __init__(self, network: Network, **options: Any) -> None:
        self._replay = Replay(network, **options)

    def __call__(self, request: Mapping[str, Any]) -> str:
        """The reply to one click, as JSON.

        Args:
            request: ``image``, a file in base64; ``pos_points`` and ``neg_points``, lists of x, y in image pixels.

        Returns:
            ``{"mask": H rows of W values 0 or 255, "shapes": [{"type": "mask", "points": runs and box}]}``. CVAT reads
            ``mask``; its newer agents use ``shapes``, the same mask in another form.

        Raises:
            ImageError: the image cannot be decoded.
            ClickError: a point is malformed, or outside the image.
            OptionError: the request has a box, which MFP does not support.
        """
        if request.get("obj_bbox"):
            raise OptionError("MFP takes points, not boxes: begin with a point inside the object")
        points = {name: _points(request.get(name, []), name) for name in ("pos_points", "neg_points")}
        data = request.get("image")
        if not isinstance(data, str):
            raise ImageError(f"expected an image in base64, got {type(data).__name__}")
        with self._replay.image(image_bytes(data)) as image:
            mask = image.predict(in_order(image.recent, points["pos_points"], points["neg_points"])).mask
        shapes = [{"type": "mask", "points": mask_points(mask)}] if mask.area else []
        return f'{{"shapes": {json.dumps(shapes)}, "mask": {rows(mask)}}}'


def in_order(
    recent: Iterable[Sequence[ClickAt]],
    positive: Sequence[tuple[float, float]],
    negative: Sequence[tuple[float, float]],
) -> list[ClickAt]:
    """Points as clicks, in the order of the recent list that shares most with them; new points last, positive first."""
    begun = max((_common(clicks, positive, negative) for clicks in recent), key=len, default=[])
    old = sum(sign for _, _, sign in begun)
    new = [(True, positive[old:]), (False, negative[len(begun) - old :])]
    return begun + [(x, y, sign) for sign, points in new for x, y in points]


def _common(
    clicks: Sequence[ClickAt], positive: Sequence[tuple[float, float]], negative: Sequence[tuple[float, float]]
) -> list[ClickAt]:
    """The first clicks that are all among the points. Clicks after a removed point belong to another mask."""
    left = {True: iter(positive), False: iter(negative)}
    return list(takewhile(lambda click: next(left[click[2]], None) == click[:2], clicks))


def mask_points(mask: Mask) -> list[int]:
    """A non-empty mask in CVAT's form: lengths of runs, background first, row by row inside the bounding box; then the
    box, as column and row of its first and last pixel."""
    assert mask.box is not None
    inside = mask.array[mask.box.slices].ravel()
    changes = np.flatnonzero(np.diff(inside, prepend=np.False_))  # a first pixel on the object ends a run of length 0
    runs: list[int] = np.diff(changes, prepend=0, append=inside.size).tolist()
    return [*runs, mask.box.col_min, mask.box.row_min, mask.box.col_max, mask.box.row_max]


def rows(mask: Mask) -> str:
    """The mask as a JSON list of H lists of W numbers, 255 on the object and 0 elsewhere."""
    # json.dumps takes seconds for a large photograph. NumPy joins numbers of equal width; then the blanks are removed.
    number: NDArray[np.bytes_] = np.array([b"  0,", b"255,"])
    lines = (number[row].tobytes()[:-1] for row in mask.array.view(np.uint8))
    return "[" + ",".join(f"[{line.decode()}]" for line in lines).replace(" ", "") + "]"


def _points(value: Any, name: str) -> list[tuple[float, float]]:
    try:
        return [(float(x), float(y)) for x, y in value]
    except (OverflowError, TypeError, ValueError) as error:
        raise ClickError(f"expected {name} as a list of [x, y], got {value!r:.200} ({error})") from None
