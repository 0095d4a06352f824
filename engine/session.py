"""The `Session` class: one image and its clicks on one network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.clicks import Click
from .clicks import checked_click
from .contract import DEFAULT_LONGER_SIDE, MAX_SIDE, NetworkInfo, Size
from .errors import NothingToUndoError, OptionError, SessionError
from .history import History
from .mask import Mask
from .network import F32, Network
from .pipelines import open_pipeline
from .pipelines.pipeline import ClickOptions, ClickTiming, Step
from .roi import Roi, choose_roi

DISTANCES = ("probability", "rgb")


class Session:
    """Interactive segmentation of one image: each click returns a new mask.

    The result depends only on the image, the options and the list of clicks: the same list gives the same bits.
    A session is used from one thread at a time; one network can serve many sessions. Its memory is freed when it is
    closed (:meth:`close`, or a ``with`` statement), or when nothing refers to it any more.

    Args:
        network: network from :func:`~mfp.engine.network.load_network`.
        image: array H×W×3 uint8 RGB (grey and RGBA are converted), any size from 1×1; copied. With a network on a GPU
            also an array on that GPU (CuPy, PyTorch, PyCUDA, any object with ``__cuda_array_interface__`` or DLPack).
            Such an array is used in place: do not change it while the session is open.
        size: network size in pixels, (H, W) or one number for the longer side of the crop. None: the network's own
            size, or 400 for the longer side if it takes any size. A network of fixed size takes only its own.
        flip: True also runs the mirrored crop and averages, as in the published results; False is about twice as fast.
        threshold: probability above which a pixel belongs to the mask, in (0, 1).
        n_early: N ≥ 0; clicks with an index below it modulate by similarity. None: the network's own (7).
        r_max: R_max, radius of the modulation window without opposite clicks, in network pixels. None: the network's
            own (100).
        distance: quantity that early clicks compare: ``"probability"``, or ``"rgb"`` (supplement, Table S-5).
        initial_mask: mask H×W to start from (bool, 0/1 or 0/255); the clicks then count from index 1.
        pipeline: place of the array work: ``"host"``, ``"device"`` (on the network's GPU, through CuPy), or ``"auto"``
            (where the network runs).
        stream: CUDA stream for all array work on a GPU: a raw handle, or a stream of CuPy, PyTorch or PyCUDA. None: a
            stream of the session's own. Calls return when their work on the stream is done.

    Attributes:
        network, threshold: as given.
        height, width: of the image, in pixels.
        timing: of the last call of :meth:`click`, in milliseconds by stage; None before the first.

    Raises:
        ImageError: the image or the initial mask is not accepted.
        OptionError: an option is out of its range, or the network does not take the size.
        RuntimeMissingError: ``"device"`` is requested and CuPy is not installed.
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
        pipeline: str = "auto",
        stream: Any = None,
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
        if not isinstance(flip, (int, np.bool_)) or flip not in (0, 1):  # "no" would count as True
            raise OptionError(f"expected True or False for flip, got {flip!r}")
        self.network = network
        self.threshold = float(threshold)
        options = ClickOptions(
            _network_size(size, info), bool(flip), self.threshold, int(n_early), float(r_max), distance
        )
        self._pipeline = open_pipeline(
            network, image, options, initial_mask=initial_mask, where=pipeline, stream=stream
        )
        self.height, self.width = self._pipeline.height, self._pipeline.width
        self._has_initial = initial_mask is not None
        self._history = History(self._pipeline, self.height, self.width)
        self._finished: list[Mask] = []
        self._closed = False
        self.timing: ClickTiming | None = None  #: timing of the last call of :meth:`click`, in milliseconds

    def click(self, x: float, y: float, positive: bool = True) -> Mask:
        """Add a click and return the new mask. Undone clicks are forgotten.

        Args:
            x, y: column and row in image pixels, 0 <= x < width and 0 <= y < height; fractions are allowed.
            positive: sign of the click: True adds to the object, False removes from it.

        Raises:
            ClickError: the click is outside the image or not finite, or its sign is neither a boolean nor 0 or 1. The
                session is unchanged then, as it is if the network fails.
        """
        self._ready()
        click = self._checked(x, y, positive)
        timing = ClickTiming()
        with timing.stage("crop"):
            clicks = [*self.clicks, click]
            roi = choose_roi(self.roi, self._pipeline.object_box(), clicks, self.height, self.width)
        mask = self._history.click(click, roi, timing)
        self.timing = timing
        return mask

    def undo(self) -> Mask:
        """Undo the newest click, without a network pass unless memory was too short to keep its data.

        The time does not grow with the number of clicks. Data for undo and redo are kept up to 256 MiB: enough for some
        hundred clicks, or some dozen on very large images. Further back the network runs again.

        Raises:
            NothingToUndoError: the object has no click.
        """
        self._ready()
        if not self._steps:
            raise NothingToUndoError("nothing to undo: this object has no clicks")
        return self._history.undo()

    def redo(self) -> Mask:
        """Redo the click that was undone last, without a network pass, as in :meth:`undo`.

        Raises:
            NothingToUndoError: nothing was undone since the last click.
        """
        self._ready()
        if not self._history.undone:
            raise NothingToUndoError("nothing to redo: no click was undone since the last one")
        return self._history.redo()

    def reset(self) -> None:
        """Drop all clicks of the present object, back to the initial mask. Finished objects are kept."""
        self._check_open()
        self._history.reset()

    def finish(self) -> Mask:
        """Store the present mask in :attr:`finished` and start the next object on the same image, from an empty mask.

        Raises:
            SessionError: the present object has neither clicks nor an initial mask.
        """
        self._ready()
        if not self._steps and not self._has_initial:
            raise SessionError("nothing to finish: click on the object first")
        mask = self.mask
        self._finished.append(mask)
        self._has_initial = False  # it belonged to the finished object
        self._pipeline.forget_initial()
        self._history.clear()
        self._history.repaint()
        return mask

    def close(self) -> None:
        """Free the session's memory. Returned masks stay valid; every later call except this one raises an error."""
        if not self._closed:
            self._closed = True
            self._history.clear()
            self._pipeline.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def mask(self) -> Mask:
        """The present mask; empty before the first click."""
        self._ready()
        return self._pipeline.mask()

    @property
    def probability(self) -> F32:
        """The present probability map, float32 H×W in [0, 1]; a copy."""
        self._ready()
        return self._pipeline.probability()

    @property
    def device_probability(self) -> Any:
        """The present probability map on the GPU: a CuPy array, float32 H×W in [0, 1], not a copy.

        It shares its memory through DLPack and ``__cuda_array_interface__``. Treat it as read-only. Copy data that must
        outlive the next call, which overwrites the array.

        Raises:
            SessionError: the array work of this session is done on the host.
        """
        self._ready()
        return self._pipeline.device_probability()

    @property
    def device_mask(self) -> Any:
        """The present mask on the GPU, a new CuPy array, bool H×W; no copy to the host.

        Raises:
            SessionError: the array work of this session is done on the host.
        """
        self._ready()
        return self._pipeline.device_mask()

    @property
    def roi(self) -> Roi | None:
        """The newest pass's (row_min, row_max, col_min, col_max) in pixels, inclusive; None before the first click."""
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
    def nbytes(self) -> int:
        """Approximate bytes of the session, without masks and the network. It grows with clicks up to a bound."""
        self._check_open()
        return self._pipeline.nbytes + self._history.nbytes

    @property
    def can_undo(self) -> bool:
        """Whether there is a click for :meth:`undo`."""
        return bool(self._steps)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone click for :meth:`redo`."""
        return bool(self._history.undone)

    def _checked(self, x: float, y: float, positive: bool) -> Click:
        return checked_click(x, y, positive, len(self._steps) + self._has_initial, self.height, self.width)

    @property
    def _steps(self) -> list[Step]:
        return self._history.steps

    def _ready(self) -> None:
        self._check_open()
        self._history.repaint()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("this session is closed: make a new one")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def _network_size(size: Size | int | None, info: NetworkInfo) -> Size | int:
    """The session's network size, checked against what the network accepts."""
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
