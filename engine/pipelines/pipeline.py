"""What a session asks of the array work, and how long it took; done on the host (host.py) or on a GPU (device.py)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...kernels.clicks import Click
from ..contract import Size
from ..errors import SessionError
from ..mask import Mask
from ..network import F32
from ..roi import Roi


@dataclass
class ClickTiming:
    """Milliseconds that one click took, by stage, by the clock.

    ``passes`` counts network passes: 2 at a first click, else 1; 3 where a GPU found out late that a click needs two.
    On a GPU the stages run without the host: ``device`` is the time until the mask was back, for all of them together.
    """

    crop: float = 0.0
    encode: float = 0.0
    modulate: float = 0.0
    network: float = 0.0
    paste: float = 0.0
    device: float = 0.0
    passes: int = 0

    @property
    def total(self) -> float:
        return self.crop + self.encode + self.modulate + self.network + self.paste + self.device

    @property
    def outside_network(self) -> float:
        """The host's array work."""
        return self.total - self.network - self.device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        setattr(self, name, getattr(self, name) + (time.perf_counter() - start) * 1e3)


@dataclass(frozen=True, slots=True)
class ClickOptions:
    """A session's options, checked; see :class:`~mfp.engine.session.Session`."""

    size: Size | int
    flip: bool
    threshold: float
    n_early: int
    r_max: float
    distance: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The image's map after some step: a copy of one region of it, and what it is outside of that.

    Attributes:
        region: of the image.
        copy: what :meth:`Pipeline.copy` gave.
        under: the map of a step that covered the whole image; None: what :meth:`Pipeline.start` sets.
    """

    region: Roi
    copy: Any
    under: Any

    @property
    def nbytes(self) -> int:
        return int(self.copy.nbytes) + (0 if self.under is None else int(self.under.nbytes))


@dataclass(slots=True)
class Step:
    """What one click left behind: enough to build the map again without the network.

    ``map`` is the probability at network size, an array of the pipeline's own kind; None where memory did not allow to
    keep it. ``checkpoint`` is the image's map after this step, which few of the steps have.
    """

    click: Click
    roi: Roi
    map: Any
    checkpoint: Checkpoint | None = None

    @property
    def nbytes(self) -> int:
        held = 0 if self.map is None else int(self.map.nbytes)
        return held if self.checkpoint is None else held + self.checkpoint.nbytes

    def drop(self) -> None:
        """Give the memory back."""
        self.map = self.checkpoint = None


class Pipeline(ABC):
    """Holds one image and its probability map, and does the array work of clicks on them.

    Attributes:
        height, width: of the image.
    """

    height: int
    width: int

    @abstractmethod
    def start(self) -> None:
        """Set the map to zeros, or to the initial mask."""

    @abstractmethod
    def forget_initial(self) -> None:
        """From now on :meth:`start` sets the map to zeros."""

    @abstractmethod
    def click(self, roi: Roi, clicks: Sequence[Click], timing: ClickTiming) -> Any:
        """Everything from the crop to the paste; the newest click is the last. Where it raises, nothing has changed.

        Returns:
            The probability at network size, for :class:`Step`.
        """

    @abstractmethod
    def paste(self, steps: Sequence[Step]) -> None:
        """Write the maps of earlier clicks into the image's map, one after another."""

    @abstractmethod
    def copy(self, region: Roi) -> Any:
        """A copy of the image's map in a region, for :class:`Checkpoint`; it may hold more than the region."""

    @abstractmethod
    def restore(self, checkpoint: Checkpoint) -> None:
        """Set the map to what it was when the checkpoint was made."""

    @abstractmethod
    def object_box(self) -> Roi | None:
        """Bounding box of the pixels above :data:`~mfp.engine.roi.OBJECT_THRESHOLD`, or None."""

    @abstractmethod
    def mask(self) -> Mask:
        """Where the map is above the threshold."""

    @abstractmethod
    def probability(self) -> F32:
        """A copy of the image's map, float32 H×W, on the host."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """About what the image and its map take in memory, with all that is kept for the next click."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""

    def device_probability(self) -> Any:
        """The image's map on the GPU."""
        raise SessionError(NOT_ON_GPU)

    def device_mask(self) -> Any:
        """The mask on the GPU, one byte a pixel."""
        raise SessionError(NOT_ON_GPU)


NOT_ON_GPU = (
    "this session works on the host and has no arrays on a GPU: take session.probability and session.mask, or load the "
    'network with device="cuda:0"'
)
