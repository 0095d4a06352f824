"""The array work of a click on the host, in NumPy: crop, encode, modulate, run, paste (spec section 1)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels.clicks import Click
from ..kernels.reference import encode_clicks, modulate
from ..kernels.resample import resize_bilinear
from .contract import Size
from .network import F32, Network
from .roi import OBJECT_THRESHOLD, Roi, bounding_box


@dataclass
class ClickTiming:
    """Milliseconds that one click took, by stage. ``passes`` counts network passes: 2 at a first click, else 1."""

    crop: float = 0.0
    encode: float = 0.0
    modulate: float = 0.0
    network: float = 0.0
    paste: float = 0.0
    passes: int = 0

    @property
    def total(self) -> float:
        return self.crop + self.encode + self.modulate + self.network + self.paste

    @property
    def outside_network(self) -> float:
        return self.total - self.network

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        setattr(self, name, getattr(self, name) + (time.perf_counter() - start) * 1e3)


class HostPipeline:
    """Holds one image and its probability map, and does the array work of clicks on them."""

    def __init__(
        self,
        network: Network,
        image: NDArray[np.uint8],
        size: Size | int,
        flip: bool,
        n_early: int,
        r_max: float,
        distance: str,
    ) -> None:
        self._network = network
        self._planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        self._size = size
        self._flip = flip
        self._modulation = (n_early, r_max, distance)
        self._crop: tuple[Roi, F32] | None = None  # of the image, kept while the region stays
        self.probability: F32 = np.zeros(image.shape[:2], np.float32)

    def start(self, initial: F32 | None) -> None:
        """Set the map to zeros, or to ``initial``."""
        self.probability[...] = 0.0 if initial is None else initial

    def object_box(self) -> Roi | None:
        """Bounding box of the pixels above :data:`OBJECT_THRESHOLD`, or None."""
        return bounding_box(self.probability > OBJECT_THRESHOLD)

    def predict(self, roi: Roi, clicks: Sequence[Click], timing: ClickTiming) -> F32:
        """Everything from the crop to the network's probability map (h, w) of ``roi``; changes nothing here."""
        height, width = self._network_size(roi)
        with timing.stage("crop"):
            image = self._cropped_image(roi, height, width)
            prev = self._with_mirror(resize_bilinear(self.probability[roi.slices], height, width)[None, None])
        with timing.stage("encode"):
            batch = [[_into_crop(click, roi, height, width) for click in clicks]]
            if self._flip:
                batch.append([replace(click, x=width - click.x - 1) for click in batch[0]])
            disks = np.stack([encode_clicks(item, height, width) for item in batch])
        if not prev.any():
            with timing.stage("network"):
                zeros = np.zeros_like(prev)
                prev = sigmoid(self._network(image, zeros, zeros, disks))
                timing.passes += 1
        with timing.stage("modulate"):
            modulated = self._modulate(prev, batch, image)
        with timing.stage("network"):
            logits = self._network(image, prev, modulated, disks)[:, 0]
            timing.passes += 1
            return sigmoid(0.5 * (logits[0] + logits[1, :, ::-1]) if self._flip else logits[0])

    def paste(self, probability: F32, roi: Roi) -> None:
        """Write a network's probability map (h, w) into the image's map."""
        resize_bilinear(probability, roi.height, roi.width, out=self.probability[roi.slices])

    def _network_size(self, roi: Roi) -> Size:
        if not isinstance(self._size, int):
            return self._size
        longer = max(roi.height, roi.width)
        return max(round(roi.height * self._size / longer), 1), max(round(roi.width * self._size / longer), 1)

    def _cropped_image(self, roi: Roi, height: int, width: int) -> F32:
        if self._crop is None or self._crop[0] != roi:
            crop = np.empty((1, 3, height, width), np.float32)
            for plane, out in zip(self._planes, crop[0], strict=True):
                resize_bilinear(plane[roi.slices], height, width, out=out)
            crop /= 255.0
            self._crop = roi, self._with_mirror(crop)
        return self._crop[1]

    def _with_mirror(self, maps: F32) -> F32:
        return np.concatenate([maps, maps[..., ::-1]]) if self._flip else maps

    def _modulate(self, prev: F32, batch: Sequence[Sequence[Click]], image: F32) -> F32:
        n_early, r_max, distance = self._modulation
        if any(min(item[-1].x, item[-1].y) < 0 for item in batch):
            return prev  # a quirk of the release, for the whole batch: spec section 4
        colours = image.transpose(0, 2, 3, 1)
        return np.stack(
            [modulate(prev[i, 0], item, n_early, r_max, distance, colours[i])[None] for i, item in enumerate(batch)]
        )


def sigmoid(logits: F32) -> F32:
    """Float32, saturating to exactly 0 and 1, which modulation takes notice of (spec section 4)."""
    with np.errstate(over="ignore"):  # exp(-x) is inf for x < -88, and 1 / inf the right result
        result: F32 = np.float32(1.0) / (np.float32(1.0) + np.exp(-logits))
    return result


def _into_crop(click: Click, roi: Roi, height: int, width: int) -> Click:
    return replace(
        click, y=height * (click.y - roi.row_min) / roi.height, x=width * (click.x - roi.col_min) / roi.width
    )
