"""The `Pipeline` interface of a session's array work (host.py, device.py), its options, steps and timing."""

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
    """Wall-clock milliseconds of one click, by stage.

    ``passes`` counts network passes: 2 at a first click, else 1. It is 3 if the GPU detects late that a click needs
    two. On a GPU the stages run without the host: ``device`` is the total time until the mask was returned.
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
        """Milliseconds of the host's array work."""
        return self.total - self.network - self.device

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        setattr(self, name, getattr(self, name) + (time.perf_counter() - start) * 1e3)


@dataclass(frozen=True, slots=True)
class ClickOptions:
    """Checked options of a session; see :class:`~mfp.engine.session.Session`."""

    size: Size | int
    flip: bool
    threshold: float
    n_early: int
    r_max: float
    distance: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The image's map after a step: a copy of one region, and the source of the rest.

    Attributes:
        region: region of the image.
        copy: result of :meth:`Pipeline.copy`.
        under: map of a step that covered the whole image; None: the map that :meth:`Pipeline.start` sets.
    """

    region: Roi
    copy: Any
    under: Any

    @property
    def nbytes(self) -> int:
        return int(self.copy.nbytes) + (0 if self.under is None else int(self.under.nbytes))


@dataclass(slots=True)
class Step:
    """Result of one click: enough to rebuild the map without the network.

    ``map`` is the probability at network size, in the pipeline's own array type; None if memory was too short to keep
    it. ``checkpoint`` is the image's map after this step; only few steps have one.
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
        """Free the memory."""
        self.map = self.checkpoint = None


class Pipeline(ABC):
    """Holds one image and its probability map, and does the array work of clicks on them.

    Attributes:
        height, width: size of the image in pixels.
    """

    height: int
    width: int

    @abstractmethod
    def start(self) -> None:
        """Set the map to zeros, or to the initial mask."""

    @abstractmethod
    def forget_initial(self) -> None:
        """Forget the initial mask: :meth:`start` then sets the map to zeros."""

    @abstractmethod
    def click(self, roi: Roi, clicks: Sequence[Click], timing: ClickTiming) -> Any:
        """Run everything from the crop to the paste. The newest click is the last. If it raises, nothing has changed.

        Returns:
            The probability at network size, for :class:`Step`.
        """

    @abstractmethod
    def paste(self, steps: Sequence[Step]) -> None:
        """Write the maps of earlier clicks into the image's map, one after another."""

    @abstractmethod
    def copy(self, region: Roi) -> Any:
        """Copy a region of the image's map, for :class:`Checkpoint`. The copy may hold more than the region."""

    @abstractmethod
    def restore(self, checkpoint: Checkpoint) -> None:
        """Set the map back to its state at the checkpoint."""

    @abstractmethod
    def object_box(self) -> Roi | None:
        """Bounding box of the pixels above :data:`~mfp.engine.roi.OBJECT_THRESHOLD`, or None if there is none."""

    @abstractmethod
    def mask(self) -> Mask:
        """Mask of the pixels where the map is above the threshold."""

    @abstractmethod
    def probability(self) -> F32:
        """A copy of the image's map, float32 H×W, on the host."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Approximate bytes of the image and its map, with everything kept for the next click."""

    @abstractmethod
    def close(self) -> None:
        """Free the memory."""

    def device_probability(self) -> Any:
        """The image's map on the GPU."""
        raise SessionError(NOT_ON_GPU)

    def device_mask(self) -> Any:
        """The mask on the GPU, one byte per pixel."""
        raise SessionError(NOT_ON_GPU)


NOT_ON_GPU = (
    "this session works on the host and has no arrays on a GPU: take session.probability and session.mask, or load the "
    'network with device="cuda:0"'
)
