"""The `Predictor` class: the predictor interface of SAM (Segment Anything) over a session, for tools that use it."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels.resample import resize_bilinear
from .errors import OptionError, SessionError
from .image import as_rgb, is_pil
from .network import F32, Network
from .session import Session

LOGITS_SIZE = 256  # pixels per side, as in SAM's low-resolution masks
_CLIP = 1e-6  # keeps logits of saturated probabilities finite: at most ±13.8


class Predictor:
    """SAM-style predictor: call ``set_image`` once, then ``predict`` with all points so far, as often as needed.

    It differs from SAM as MFP does: it returns one mask, not three; it refuses boxes and text; the order of the points
    matters, as for clicks. Leading points shared with the previous call cost nothing; each other point costs a
    network pass.

    Args:
        network: network from :func:`~mfp.engine.network.load_network`.
        options: options of :class:`~mfp.engine.session.Session` (``size``, ``flip``, ``threshold``, …).
    """

    def __init__(self, network: Network, **options: Any) -> None:
        if "initial_mask" in options:
            raise OptionError("initial_mask belongs to one image: pass mask_input to predict() instead")
        self.network = network
        self._options = options
        self._image: Any = None
        self._session: Session | None = None
        self._mask_input: NDArray[Any] | None = None
        self._last_logits: F32 | None = None

    def set_image(self, image: Any, image_format: str = "RGB") -> None:
        """Set the photograph.

        Args:
            image: image that :func:`~mfp.engine.image.as_rgb` accepts: H×W×3 uint8, a PIL image, …
            image_format: order of the channels, ``"RGB"`` or ``"BGR"`` (OpenCV's order).

        Raises:
            ImageError: the image is not accepted.
            OptionError: the format is another, or is BGR for a PIL image.
        """
        if image_format not in ("RGB", "BGR"):
            raise OptionError(f'expected image_format "RGB" or "BGR", got {image_format!r}')
        if image_format == "BGR" and is_pil(image):
            raise OptionError('a PIL image is RGB: leave image_format="BGR" out, it is for arrays')
        pixels = as_rgb(image)
        if image_format == "BGR":
            pixels = pixels[:, :, ::-1]
        self._session = Session(self.network, pixels, **self._options)
        self._image = pixels.copy()
        self._mask_input = self._last_logits = None

    def reset_image(self) -> None:
        """Forget the photograph."""
        self._image = self._session = self._mask_input = self._last_logits = None

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = False,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], F32, F32]:
        """Segment the object under the points.

        Args:
            point_coords: array (n, 2) of x, y in image pixels, n >= 1, in click order.
            point_labels: array (n,) of 1 (object) and 0 (background); None: all 1.
            box: box of SAM; must be None, as MFP takes clicks.
            mask_input: logits (1, 256, 256) to start from. The predictor recognises the logits that it returned last:
                points that extend the last ones then continue from them, as SAM's users expect.
            multimask_output: flag of SAM, accepted for compatibility; the result is one mask.
            return_logits: True returns logits at image size instead of the mask.

        Returns:
            Masks, bool (1, H, W) (float32 logits with ``return_logits``); scores, float32 (1,), the expected IoU if the
            probabilities are right, Σ(P·M) / (Σ M + Σ(P·(1-M))); logits of the map, float32 (1, 256, 256).

        Raises:
            SessionError: no image was set.
            OptionError: a box is given, no point is given, or points, labels or mask have other shapes or values.
            ClickError: a point is outside the image.
        """
        if self._session is None:
            raise SessionError("no image yet: call set_image(image) first")
        if box is not None:
            raise OptionError("MFP takes clicks, not boxes: pass point_coords, for example the box's centre")
        points, labels = _points(point_coords, point_labels)
        session = self._continued(points, labels, mask_input)
        for (x, y), label in list(zip(points, labels, strict=True))[len(session.clicks) :]:
            session.click(x, y, bool(label))

        probability = session.probability
        mask = session.mask.array
        inside = float(probability[mask].sum())
        union = float(mask.sum()) + float(probability.sum()) - inside
        score = np.float32(inside / union if union > 0 else 0.0)
        low = _logits(resize_bilinear(probability, LOGITS_SIZE, LOGITS_SIZE))[None]
        self._last_logits = low
        return (_logits(probability) if return_logits else mask.copy())[None], np.array([score]), low.copy()

    def _continued(
        self, points: NDArray[np.float64], labels: NDArray[np.int64], mask_input: ArrayLike | None
    ) -> Session:
        """The session with the leading clicks shared with these points; a new one if they start from another mask."""
        assert self._session is not None
        given = None if mask_input is None else _numbers(mask_input, "mask_input").astype(np.float32)
        pairs = zip(self._session.clicks, zip(points, labels, strict=True), strict=False)
        same = ((c.x, c.y, c.positive) == (x, y, bool(label)) for c, ((x, y), label) in pairs)
        common = sum(takewhile(bool, same))
        extends = common == len(self._session.clicks)
        known = self._last_logits is not None and given is not None and np.array_equal(given, self._last_logits)
        if not (_same(given, self._mask_input) or (known and extends)):
            start = None if given is None else _mask_from(given, self._session.height, self._session.width)
            self._session = Session(self.network, self._image, initial_mask=start, **self._options)
            self._mask_input = given
        else:
            for _ in self._session.clicks[common:]:
                self._session.undo()
        return self._session


def _numbers(value: ArrayLike, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise OptionError(f"expected {name} as an array of numbers ({error})") from None
    if array.dtype.kind not in "buif":
        raise OptionError(f"expected {name} as an array of numbers, got {array.dtype}")
    return array


def _points(coords: ArrayLike | None, labels: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    given = _numbers([] if coords is None else coords, "point_coords")
    if given.dtype.kind == "b":
        raise OptionError("expected point_coords of numbers, got booleans; labels are the second argument")
    points = given.astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise OptionError(f"expected point_coords of shape (n, 2), n >= 1, got {points.shape}")
    signs = np.ones(len(points), np.int64) if labels is None else _numbers(labels, "point_labels")
    if signs.shape != (len(points),) or not np.isin(signs, (0, 1)).all():
        hint = "; -1 stands for padding: leave those points out" if (signs == -1).any() else ""
        raise OptionError(f"expected point_labels of shape ({len(points)},) of 0 and 1, got {labels!r}{hint}")
    return points, signs.astype(np.int64)


def _mask_from(logits: F32, height: int, width: int) -> NDArray[np.bool_]:
    if logits.shape != (1, LOGITS_SIZE, LOGITS_SIZE):
        raise OptionError(f"expected mask_input of shape (1, {LOGITS_SIZE}, {LOGITS_SIZE}), got {logits.shape}")
    if not np.isfinite(logits).all():
        raise OptionError("expected mask_input of finite logits, got NaN or infinity in it")
    low, high = float(logits.min()), float(logits.max())
    if 0 <= low < high <= 1 or (low == 0 and high == 255):
        raise OptionError(
            f"expected mask_input of logits, which are negative outside the object, got values from {low:g} to "
            f"{high:g}: that is a mask or a probability map. Pass the logits that predict() returned, or for a mask of "
            "0 and 1 (mask - 0.5) * 20"
        )
    return resize_bilinear(logits[0], height, width) > 0


def _same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _logits(probability: F32) -> F32:
    p = np.clip(probability, _CLIP, 1 - _CLIP)
    logits: F32 = np.log(p / (1 - p))
    return logits
