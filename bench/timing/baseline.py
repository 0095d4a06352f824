"""Baseline: a click computed as in the authors' release; every result of the engine is compared with it.

It is a rewrite of the release (in ``isegm/``: ``inference/predictors/base.py``, ``inference/transforms/zoom_in.py`` and
``flip.py``, ``model/is_model_prevMod.py``, ``ops.py``, ``modulation.py``), operation by operation and copy by copy:
plain PyTorch, eager, on one device, with the release's conversions to NumPy and back. Nothing is tuned or slowed down.
Two parts are left out, which makes the baseline faster: logits that the release's evaluation does not use (HRNet's
auxiliary ones), and its user interface.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from numpy.typing import NDArray
from torch import Tensor

from ...engine.contract import Size
from ...engine.pipelines.pipeline import ClickTiming
from ...engine.roi import OBJECT_THRESHOLD, Roi, choose_roi, network_size
from ...kernels.clicks import Click
from .baseline_modulation import disk_maps, modulate

Logits = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
HALF = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


class AuthorsWay:
    """One object on one image, clicked as in the release, with the methods of :class:`mfp.engine.session.Session`.

    Args:
        network: network of :mod:`mfp.export.models`, possibly compiled, on ``device``.
        image: H×W×3 uint8 RGB.
        size: network size, (H, W) or one number for the longer side of the crop.
        device: ``"cpu"`` or ``"cuda:N"``.
        precision: ``"fp32"``; or ``"fp16"`` or ``"bf16"``, which run only the network under PyTorch's autocast.
        flip: whether to run also on the mirrored crop.
        threshold: probability in (0, 1) above which a pixel is in the mask.
        n_early, r_max: N and R_max of the modulation.

    Attributes:
        timing: timing of the last click; on a GPU the stages are timed by CUDA events.
        roi: region of interest of the last click, None before the first.
    """

    def __init__(
        self,
        network: Logits,
        image: NDArray[np.uint8],
        size: Size | int,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        flip: bool = True,
        threshold: float = 0.5,
        n_early: int = 7,
        r_max: float = 100.0,
    ) -> None:
        self._network, self._size, self._device = network, size, torch.device(device)
        self._half, self._flip, self._threshold = HALF[precision], flip, threshold
        self._n_early, self._r_max = n_early, r_max
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).float().div(255)
        self._image = pixels.to(self._device)[None]
        self.timing: ClickTiming | None = None
        self.reset()

    def reset(self) -> None:
        """Remove all clicks, for the next object on the same image."""
        self._previous = torch.zeros_like(self._image[:, :1])
        self._known: NDArray[np.float32] | None = None  # the release's copy of the map on the host, for the region
        self._clicks: list[Click] = []
        self.roi: Roi | None = None
        self.probability: NDArray[np.float32] = np.zeros(self._image.shape[2:], np.float32)  #: float32 H×W

    def click(self, x: float, y: float, positive: bool = True) -> NDArray[np.bool_]:
        """Add a click at column x and row y in image pixels; return the mask, bool H×W."""
        with torch.no_grad():
            return self._click(Click(x, y, positive, len(self._clicks)))

    def _click(self, click: Click) -> NDArray[np.bool_]:
        self._clicks.append(click)
        stages = _Stages(self._device)
        height, width = self._image.shape[2:]
        whole = torch.cat([self._image, self._previous], dim=1)
        self.roi = roi = choose_roi(self.roi, self._object_box(), self._clicks, height, width)
        crop = self._resized(whole[:, :, roi.slices[0], roi.slices[1]], network_size(self._size, roi))
        sides = crop.shape[2:]
        clicks = [
            [
                replace(c, y=sides[0] * (c.y - roi.row_min) / roi.height, x=sides[1] * (c.x - roi.col_min) / roi.width)
                for c in self._clicks
            ]
        ]
        if self._flip:
            crop = torch.cat([crop, torch.flip(crop, dims=[3])], dim=0)
            clicks.append([replace(c, x=sides[1] - c.x - 1) for c in clicks[0]])
        stages.end("crop")

        points = self._points(clicks)
        logits = self._pass(crop[:, :3], crop[:, 3:], points, stages)
        logits = self._resized(logits, sides)  # they have that size already; the release resizes all the same

        if self._flip:
            logits = 0.5 * (logits[:1] + torch.flip(logits[1:], dims=[3]))
        self._previous = self._pasted(torch.sigmoid(logits), roi)
        self.probability = self._previous.cpu().numpy()[0, 0]
        mask: NDArray[np.bool_] = self.probability > self._threshold
        stages.end("paste")
        self.timing = stages.timing()
        return mask

    def _pass(self, image: Tensor, prev: Tensor, points: Tensor, stages: _Stages) -> Tensor:
        """Run both passes of a first click, or the one pass of a later click; logits at network size."""
        if torch.all(prev == torch.zeros_like(prev)):
            disks = disk_maps(points, *image.shape[2:])
            stages.end("encode")
            prev = torch.sigmoid(self._logits(image, prev, prev, disks))
            stages.end("network", passes=1)
        modulated = modulate(prev, points, self._n_early, self._r_max)
        stages.end("modulate")
        disks = disk_maps(points, *image.shape[2:])
        stages.end("encode")
        logits = self._logits(image, prev, modulated, disks)
        stages.end("network", passes=1)
        return logits

    def _logits(self, image: Tensor, prev: Tensor, modulated: Tensor, disks: Tensor) -> Tensor:
        if self._half is None:
            return self._network(image, prev, modulated, disks)
        with torch.autocast(self._device.type, dtype=self._half):
            return self._network(image, prev, modulated, disks).float()

    def _object_box(self) -> Roi | None:
        """Box of the map above the threshold and of the positive clicks, computed in NumPy on the host."""
        if self._known is None:
            return None
        mask = (self._known > OBJECT_THRESHOLD)[0, 0]
        if not mask.sum() > 0:
            return None
        mask = mask.copy()
        for click in self._clicks:
            if click.positive:
                mask[int(click.y), int(click.x)] = True
        rows, columns = (np.flatnonzero(np.any(mask, axis=axis)) for axis in (1, 0))
        return Roi(int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))

    def _points(self, clicks: Sequence[Sequence[Click]]) -> Tensor:
        """Points of the clicks, in the format of :mod:`mfp.bench.timing.baseline_modulation`."""
        positives = sum(click.positive for click in clicks[0])
        slots = max(positives, len(clicks[0]) - positives)
        rows = []
        for item in clicks:
            row: list[tuple[float, float, float]] = []
            for sign in (True, False):
                row += [(click.y, click.x, click.index) for click in item if click.positive == sign]
                row += [(-1, -1, -1)] * ((slots if sign else 2 * slots) - len(row))
            rows.append(row)
        return torch.tensor(rows, dtype=torch.float32, device=self._device)

    def _pasted(self, probability: Tensor, roi: Roi) -> Tensor:
        """Map of the whole image with a network's map in its region, by way of the release's copy on the host."""
        map_ = self._resized(probability, (roi.height, roi.width))
        if self._known is not None:
            region = map_
            map_ = torch.tensor(self._known, device=self._device)
            map_[:, :, roi.slices[0], roi.slices[1]] = region
        self._known = map_.cpu().numpy()
        return map_

    @staticmethod
    def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


class _Stages:
    """Timer of stages: by the clock on a CPU; on a GPU by events, which do not block."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._ends: list[tuple[str, Any]] = [("", self._now())]
        self._passes = 0

    def end(self, stage: str, passes: int = 0) -> None:
        self._ends.append((stage, self._now()))
        self._passes += passes

    def timing(self) -> ClickTiming:
        timing = ClickTiming(passes=self._passes)
        if self._device.type == "cuda":
            self._ends[-1][1].synchronize()
        for (_, start), (stage, end) in zip(self._ends, self._ends[1:], strict=False):
            elapsed = start.elapsed_time(end) if self._device.type == "cuda" else (end - start) * 1e3
            setattr(timing, stage, getattr(timing, stage) + elapsed)
        return timing

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event
