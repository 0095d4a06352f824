"""The array work of a click on the host, in NumPy: crop, encode, modulate, run, paste (spec section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...kernels.clicks import Click
from ...kernels.reference import encode_clicks, modulate
from ...kernels.resample import resize_bilinear
from ..image import as_initial_mask, as_rgb
from ..mask import Mask
from ..network import F32, Network
from ..roi import OBJECT_THRESHOLD, Roi, bounding_box, network_size, whole
from .pipeline import Checkpoint, ClickOptions, ClickTiming, Pipeline, Step


class HostPipeline(Pipeline):
    """Host implementation of :class:`~mfp.engine.pipelines.pipeline.Pipeline`.

    Args:
        network: network that takes NumPy arrays.
        image, initial_mask: arguments of the session; copied.
        options: checked options of the session.
    """

    def __init__(self, network: Network, image: Any, initial_mask: Any, options: ClickOptions) -> None:
        pixels = as_rgb(image)
        self.height, self.width = pixels.shape[:2]
        self._network = network
        self._planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        self._initial = None if initial_mask is None else as_initial_mask(initial_mask, self.height, self.width)
        self._options = options
        self._crop: tuple[Roi, F32] | None = None  # crop of the image, kept while the region stays the same
        self._probability: F32 = np.empty((self.height, self.width), np.float32)
        self.start()

    def start(self) -> None:
        self._probability[...] = 0.0 if self._initial is None else self._initial

    def forget_initial(self) -> None:
        self._initial = None

    def object_box(self) -> Roi | None:
        return bounding_box(self._probability > OBJECT_THRESHOLD)

    def mask(self) -> Mask:
        inside = self._probability > np.float32(self._options.threshold)  # the comparison of the kernels and of C++
        inside.flags.writeable = False  # so that Mask uses it without a copy
        return Mask(inside)

    def probability(self) -> F32:
        copy: F32 = self._probability.copy()
        return copy

    def close(self) -> None:
        del self._planes, self._probability, self._initial, self._crop

    def click(self, roi: Roi, clicks: Sequence[Click], timing: ClickTiming) -> F32:
        probability = self._predict(roi, clicks, timing)
        with timing.stage("paste"):
            self._paste(probability, roi)
        return probability

    def paste(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._paste(step.map, step.roi)

    def copy(self, region: Roi) -> F32:
        copy: F32 = self._probability[region.slices].copy()
        return copy

    def restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.under is None:
            self.start()
        else:
            self._paste(checkpoint.under, whole(*self._probability.shape))
        self._probability[checkpoint.region.slices] = checkpoint.copy

    @property
    def nbytes(self) -> int:
        held = [self._planes, self._probability, self._initial, None if self._crop is None else self._crop[1]]
        return sum(array.nbytes for array in held if array is not None)

    def _predict(self, roi: Roi, clicks: Sequence[Click], timing: ClickTiming) -> F32:
        """Compute the network's probability map (h, w) of ``roi`` from the crop; changes no state."""
        height, width = network_size(self._options.size, roi)
        with timing.stage("crop"):
            image = self._cropped_image(roi, height, width)
            prev = self._with_mirror(resize_bilinear(self._probability[roi.slices], height, width)[None, None])
        with timing.stage("encode"):
            batch = [[_into_crop(click, roi, height, width) for click in clicks]]
            if self._options.flip:
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
            return sigmoid(0.5 * (logits[0] + logits[1, :, ::-1]) if self._options.flip else logits[0])

    def _paste(self, probability: F32, roi: Roi) -> None:
        """Write a network's probability map (h, w) into the image's map. If it raises, nothing was written."""
        pasted = resize_bilinear(probability, roi.height, roi.width)
        if roi == whole(*self._probability.shape):
            self._probability = pasted
        else:
            self._probability[roi.slices] = pasted

    def _cropped_image(self, roi: Roi, height: int, width: int) -> F32:
        if self._crop is None or self._crop[0] != roi:
            crop = np.empty((1, 3, height, width), np.float32)
            for plane, out in zip(self._planes, crop[0], strict=True):
                resize_bilinear(plane[roi.slices], height, width, out=out)
            crop /= 255.0
            self._crop = roi, self._with_mirror(crop)
        return self._crop[1]

    def _with_mirror(self, maps: F32) -> F32:
        return np.concatenate([maps, maps[..., ::-1]]) if self._options.flip else maps

    def _modulate(self, prev: F32, batch: Sequence[Sequence[Click]], image: F32) -> F32:
        options = self._options
        if any(min(item[-1].x, item[-1].y) < 0 for item in batch):
            return prev  # quirk of the release, for the whole batch: spec section 4
        colours = image.transpose(0, 2, 3, 1)
        return np.stack(
            [
                modulate(prev[i, 0], item, options.n_early, options.r_max, options.distance, colours[i])[None]
                for i, item in enumerate(batch)
            ]
        )


def sigmoid(logits: F32) -> F32:
    """Sigmoid in float32, saturating to exactly 0 and 1, which modulation depends on (spec section 4)."""
    with np.errstate(over="ignore"):  # exp(-x) is inf for x < -88, and 1 / inf is the right result
        result: F32 = np.float32(1.0) / (np.float32(1.0) + np.exp(-logits))
    return result


def _into_crop(click: Click, roi: Roi, height: int, width: int) -> Click:
    return replace(
        click, y=height * (click.y - roi.row_min) / roi.height, x=width * (click.x - roi.col_min) / roi.width
    )
