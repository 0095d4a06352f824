"""A session: one image and its clicks on one network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.clicks import Click
from .contract import DEFAULT_LONGER_SIDE, MAX_SIDE, NetworkInfo, Size
from .errors import ClickError, NothingToUndoError, OptionError, SessionError
from .host import ClickTiming, HostPipeline
from .image import as_initial_mask, as_rgb
from .mask import Mask
from .network import F32, Network
from .roi import Roi, choose_roi, whole

DISTANCES = ("probability", "rgb")


@dataclass(frozen=True)
class _Step:
    """What one click left behind: enough to build the map again without the network."""

    click: Click
    roi: Roi
    probability: F32  # at network size


class Session:
    """Clicks on one image; the mask follows each.

    The result depends on the image, the options and the list of clicks alone: the same list gives the same bits.
    A session is used from one thread at a time; a network can serve many sessions.

    Args:
        network: from :func:`~mfp.engine.network.load_network`.
        image: H×W×3 uint8 RGB (grey and RGBA are converted), any size from 1×1 on; copied.
        size: network size, (H, W) or one number for the longer side of the crop; None: the network's own, or
            400 for the longer side where it takes any size. A fixed network takes its own size only.
        flip: also run on the mirrored crop and average, as the published results do; off is about twice as fast.
        threshold: in (0, 1); the mask is where the probability is above it.
        n_early: N, from 0; clicks with an index below it modulate by similarity. None: the network's own (7).
        r_max: R_max, radius in network pixels of the modulation window without opposite clicks. None: the
            network's own (100).
        distance: what early clicks compare: ``"probability"``, or ``"rgb"`` (supplement, Table S-5).
        initial_mask: H×W mask to start from (bool, 0/1 or 0/255); the clicks then count from index 1.

    Raises:
        ImageError: the image or the initial mask is not accepted.
        OptionError: an option is out of its range, or the size is not one that the network takes.
    """

    def __init__(
        self,
        network: Network,
        image: Any,
        *,
        size: Size | int | None = None,
        flip: bool = True,
        threshold: float = 0.5,
        n_early: int | None = None,
        r_max: float | None = None,
        distance: str = "probability",
        initial_mask: Any = None,
    ) -> None:
        info = network.info
        n_early = info.n_early if n_early is None else n_early
        r_max = info.r_max if r_max is None else r_max
        if not _is_number(threshold) or not 0 < threshold < 1:
            raise OptionError(f"expected a threshold between 0 and 1, got {threshold!r}")
        if not isinstance(n_early, (int, np.integer)) or n_early < 0:
            raise OptionError(f"expected a whole number from 0 for n_early, got {n_early!r}")
        if not _is_number(r_max) or not 0 < r_max < math.inf:
            raise OptionError(f"expected a positive r_max in network pixels, got {r_max!r}")
        if distance not in DISTANCES:
            raise OptionError(f'expected the distance "probability" or "rgb", got {distance!r}')
        pixels = as_rgb(image)
        self.network = network
        self.height, self.width = pixels.shape[:2]
        self.threshold = float(threshold)
        self._initial = None if initial_mask is None else as_initial_mask(initial_mask, self.height, self.width)
        self._pipeline = HostPipeline(network, pixels, _network_size(size, info), flip, n_early, float(r_max), distance)
        self._steps: list[_Step] = []
        self._undone: list[_Step] = []
        self._finished: list[Mask] = []
        self._pipeline.start(self._initial)
        self.timing: ClickTiming | None = None  #: of the last call of :meth:`click`, in milliseconds

    def click(self, x: float, y: float, positive: bool = True) -> Mask:
        """Add a click and return the new mask. What was undone is forgotten.

        Args:
            x, y: column and row in image pixels, 0 <= x < width and 0 <= y < height; fractions are allowed.
            positive: True adds to the object, False removes from it.

        Raises:
            ClickError: outside the image, or not finite. The session stays as it was, as it does where the
                network fails.
        """
        click = self._checked(x, y, positive)
        clicks = [*self.clicks, click]
        timing = ClickTiming()
        with timing.stage("crop"):
            roi = choose_roi(self.roi, self._pipeline.object_box(), clicks, self.height, self.width)
        probability = self._pipeline.predict(roi, clicks, timing)
        self._undone.clear()
        with timing.stage("paste"):
            self._append(_Step(click, roi, probability))
            mask = self.mask
        self.timing = timing
        return mask

    def undo(self) -> Mask:
        """Take the newest click back, without a network pass.

        Raises:
            NothingToUndoError: there is no click.
        """
        if not self._steps:
            raise NothingToUndoError("nothing to undo: this object has no clicks")
        self._undone.append(self._steps.pop())
        self._repaint()
        return self.mask

    def redo(self) -> Mask:
        """Bring the click back that was undone last, without a network pass.

        Raises:
            NothingToUndoError: nothing was undone since the last click.
        """
        if not self._undone:
            raise NothingToUndoError("nothing to redo: no click was undone since the last one")
        self._append(self._undone.pop())
        return self.mask

    def reset(self) -> None:
        """Drop all clicks of the present object, back to the initial mask. Finished objects stay."""
        self._steps.clear()
        self._undone.clear()
        self._pipeline.start(self._initial)

    def finish(self) -> Mask:
        """Keep the present mask in :attr:`finished` and start the next object on the same image, from nothing.

        Raises:
            SessionError: the present object has neither clicks nor an initial mask.
        """
        if not self._steps and self._initial is None:
            raise SessionError("nothing to finish: click on the object first")
        mask = self.mask
        self._finished.append(mask)
        self._initial = None  # it belonged to the object that is done
        self.reset()
        return mask

    @property
    def mask(self) -> Mask:
        """The present mask; empty before the first click."""
        inside = self._pipeline.probability > self.threshold
        inside.flags.writeable = False  # so that Mask takes it over without a copy
        return Mask(inside)

    @property
    def probability(self) -> F32:
        """The present probability map, float32 H×W in [0, 1]; a copy."""
        copy: F32 = self._pipeline.probability.copy()
        return copy

    @property
    def roi(self) -> Roi | None:
        """(row_min, row_max, col_min, col_max) of the newest pass, inclusive; None before the first click."""
        return self._steps[-1].roi if self._steps else None

    @property
    def clicks(self) -> list[Click]:
        """The clicks of the present object, in order, in image pixels."""
        return [step.click for step in self._steps]

    @property
    def finished(self) -> Sequence[Mask]:
        """Masks of the objects finished so far."""
        return tuple(self._finished)

    @property
    def can_undo(self) -> bool:
        return bool(self._steps)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def _checked(self, x: float, y: float, positive: bool) -> Click:
        try:
            x, y = float(x), float(y)
        except (TypeError, ValueError, OverflowError):
            raise ClickError(f"expected numbers for a click's x and y, got {x!r} and {y!r}") from None
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ClickError(f"expected finite coordinates, got x={x}, y={y}")
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise ClickError(
                f"click outside the image: expected 0 <= x < {self.width} and 0 <= y < {self.height}, "
                f"got x={x:g}, y={y:g}"
            )
        return Click(x, y, bool(positive), len(self._steps) + (self._initial is not None))

    def _append(self, step: _Step) -> None:
        self._pipeline.paste(step.probability, step.roi)
        self._steps.append(step)

    def _repaint(self) -> None:
        """Build the map again from the steps, from the last one on that covered the whole image."""
        everything = whole(self.height, self.width)
        covering = [i for i, step in enumerate(self._steps) if step.roi == everything]
        if not covering:
            self._pipeline.start(self._initial)
        for step in self._steps[covering[-1] if covering else 0 :]:
            self._pipeline.paste(step.probability, step.roi)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def _network_size(size: Size | int | None, info: NetworkInfo) -> Size | int:
    """The session's size, held against what the network takes."""
    if size is None:
        return info.size or DEFAULT_LONGER_SIDE
    sides = tuple(np.atleast_1d(np.asarray(size)).tolist())
    if len(sides) not in (1, 2) or not all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides):
        raise OptionError(f"expected a size of (H, W) or one number, in pixels from 1 to {MAX_SIDE}, got {size!r}")
    if info.size is not None and sides != info.size:
        raise OptionError(
            f"this network is fixed to {info.size[0]}×{info.size[1]}, got size={size!r}; leave the size out, or export "
            "a network for it: mfp export --size HxW (or --size dynamic for the convolutional backbones)"
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])
