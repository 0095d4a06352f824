"""The array work of a click on a GPU: image and probability map stay there, and a click is one CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kernels.block import BLOCK, CLICK, LANE, NEEDS_BOOTSTRAP, NOT_FINITE, RESULT, mask_words
from ...kernels.clicks import Click
from ...kernels.device import Device
from ...kernels.reference import DISK_RADIUS
from ..errors import NetworkError
from ..image import as_initial_mask, as_rgb
from ..mask import Mask
from ..network import F32, Network
from ..roi import Roi, network_size, whole
from .arrays import DeviceImage, as_device_image, is_on_device, stream_handle
from .lane import EVERYWHERE, Parameters, lanes_of
from .pipeline import Checkpoint, ClickOptions, ClickTiming, Pipeline, Step

MAPS = 8  # click maps per allocation
NOWHERE = Roi(0, -1, 0, -1)


class DevicePipeline(Pipeline):
    """GPU implementation of :class:`~mfp.engine.pipelines.pipeline.Pipeline`.

    Every method returns when its work on the stream is done.

    Args:
        device: device on the network's GPU.
        network: network on a GPU.
        image, initial_mask: arguments of the session; the image may be on the GPU.
        options: checked options of the session.
        stream: stream that :func:`~mfp.engine.pipelines.arrays.stream_handle` accepts, or None.
    """

    def __init__(
        self, device: Device, network: Network, image: Any, initial_mask: Any, options: ClickOptions, stream: Any
    ) -> None:
        self._device, self._network, self._options = device, network, options
        self._own_stream = device.new_stream() if stream is None else stream
        self._stream = stream_handle(self._own_stream)
        if is_on_device(image):
            where = as_device_image(image, device, self._stream)
        else:
            pixels = as_rgb(image)
            place = self._uploaded(pixels)
            where = DeviceImage(place, device.address(place), pixels.strides, *pixels.shape[:2])
        self._image = where.owner
        self.height, self.width = where.height, where.width
        self._initial = None
        if initial_mask is not None:
            self._initial = self._uploaded(as_initial_mask(initial_mask, self.height, self.width))
        self._probability = device.empty((self.height, self.width), np.float32)
        self._result = device.empty((RESULT.itemsize + 4 * mask_words(self.height, self.width),), np.uint8)
        self._parameters = Parameters(device, 0)  # parameters of pastes
        self._packed = np.zeros(8, CLICK)
        self._known: list[Click] = []  # clicks already packed
        self._maps: list[Any] = []
        self._head = np.zeros(1, BLOCK)
        self._head_bytes = self._head.view(np.uint8)
        constants = {
            "image": where.address,
            "image_row": where.strides[0],
            "image_column": where.strides[1],
            "image_channel": where.strides[2],
            "probability": device.address(self._probability),
            "result": device.address(self._result),
            "r_max": options.r_max,
            "threshold": options.threshold,
            "disk_radius": DISK_RADIUS,
            "height": self.height,
            "width": self.width,
            "n_early": options.n_early,
            "compare_rgb": options.distance == "rgb",
        }
        for name, value in constants.items():
            self._head[name] = value
        self._lanes = lanes_of(network, device)
        if not isinstance(options.size, int):  # the size is the same for every click
            with device.current():
                self._lanes.prepare(network, self._batch, *options.size)
        self.start()

    def start(self) -> None:
        with self._device.current():
            if self._initial is None:
                self._device.clear(self._probability, self._stream)
            else:
                self._device.copy(self._probability, self._initial, self._stream)
            self._is_blank = self._initial is None
            self._paste(None, NOWHERE)  # mask and box of the map, which stays as it is
            self._fetch()

    def forget_initial(self) -> None:
        self._initial = None

    def click(self, roi: Roi, clicks: Sequence[Click], timing: ClickTiming) -> Any:
        started = time.perf_counter()
        height, width = network_size(self._options.size, roi)
        packed = self._pack(clicks)
        head = self._head
        head["row_min"], head["row_max"], head["col_min"], head["col_max"] = roi
        head["n_clicks"], head["newest"] = len(clicks), len(clicks) - 1
        with self._device.current():
            map_ = self._new_map(height, width)
            head["map"] = self._device.address(map_)
            with self._lanes.lend(self._network, self._batch, height, width) as lane:
                timing.passes += self._run(lane, self._is_blank, packed)
                if self._status & NEEDS_BOOTSTRAP:
                    # Only the GPU knows which pixels of the crop are zero, and the click has stopped there before the
                    # paste. This is so rare that a check before every click would cost more.
                    timing.passes += self._run(lane, True, packed)
        if self._status & NOT_FINITE:
            raise NetworkError(self._network.not_finite())
        self._is_blank = False
        timing.device += (time.perf_counter() - started) * 1e3
        return map_

    def paste(self, steps: Sequence[Step]) -> None:
        with self._device.current():
            for step in steps:
                self._is_blank = False
                self._paste(step.map, step.roi)
            self._fetch()

    def copy(self, region: Roi) -> Any:
        rows = self._rows(region)
        copy = self._device.empty(rows.shape, np.float32)
        with self._device.current():
            self._device.copy(copy, rows, self._stream)
            self._device.synchronize(self._stream)
        return copy

    def restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.under is None:
            self.start()
        with self._device.current():
            self._is_blank = False
            if checkpoint.under is not None:
                self._paste(checkpoint.under, whole(self.height, self.width))
            self._device.copy(self._rows(checkpoint.region), checkpoint.copy, self._stream)
            self._paste(None, NOWHERE)  # mask and box of the map, which stays as it is
            self._fetch()

    def _rows(self, region: Roi) -> Any:
        """The map's rows that contain a region: unlike the region, they are contiguous in memory."""
        return self._probability[region.slices[0]]

    def object_box(self) -> Roi | None:
        return self._box

    def mask(self) -> Mask:
        return self._mask

    def probability(self) -> F32:
        with self._device.current():
            host: F32 = np.empty((self.height, self.width), np.float32)
            self._device.copy_out(host, self._probability, self._stream)
            self._device.synchronize(self._stream)
        return host

    def device_probability(self) -> Any:
        return self._probability

    def device_mask(self) -> Any:
        with self._device.current():
            mask = self._device.empty((self.height, self.width), np.bool_)
            bits = self._device.address(self._result) + RESULT.itemsize
            arguments = (bits, self._device.address(mask), np.int32(self.height), np.int32(self.width))
            self._device.launch("mfp_unpack", arguments, EVERYWHERE, self._stream)
            self._device.synchronize(self._stream)
        return mask

    @property
    def nbytes(self) -> int:
        held = [self._probability, self._initial, self._result, *self._maps]
        return self.height * self.width * 3 + sum(int(array.nbytes) for array in held if array is not None)

    def close(self) -> None:
        del self._image, self._initial, self._probability, self._result, self._parameters, self._maps
        del self._mask, self._own_stream, self._lanes

    @property
    def _batch(self) -> int:
        return 2 if self._options.flip else 1

    def _run(self, lane: Any, first: bool, packed: NDArray[np.uint8]) -> int:
        """Run a click on a lane and fetch the result; return the number of network passes."""
        self._head["bootstrapped"] = first
        try:
            lane.run(first, self._head_bytes, packed, self._stream)
            self._fetch()
        except BaseException:
            self._device.synchronize(self._stream)  # queued work uses memory that other clicks may get now
            raise
        return 2 if first else 1

    def _paste(self, map_: Any, roi: Roi) -> None:
        head, parameters = self._head, self._parameters
        fields = np.zeros(1, LANE)
        if map_ is not None:
            head["map"] = self._device.address(map_)
            fields["height"], fields["width"] = map_.shape
        head["row_min"], head["row_max"], head["col_min"], head["col_max"] = roi
        head["n_clicks"], head["newest"] = 0, -1
        parameters.write(self._head_bytes, self._head_bytes[:0])
        self._device.copy_in(parameters.place, parameters.host, self._stream)
        self._device.launch("mfp_begin", (fields, parameters.address), 1, self._stream)
        self._device.launch("mfp_paste", (fields, parameters.address), EVERYWHERE, self._stream)
        self._device.synchronize(self._stream)  # the next paste overwrites the parameters

    def _fetch(self) -> None:
        """Fetch mask and box in one copy, and wait for it."""
        host = self._device.pinned(self._result.nbytes)  # the mask keeps this memory
        self._device.copy_out(host, self._result, self._stream)
        self._device.synchronize(self._stream)
        row_min, row_max, col_min, col_max, self._status = host[:20].view(np.int32).tolist()
        if not self._status:
            self._box = Roi(row_min, row_max, col_min, col_max) if row_max >= 0 else None
            self._mask = Mask.from_bits(host[RESULT.itemsize :], self.height, self.width)

    def _pack(self, clicks: Sequence[Click]) -> NDArray[np.uint8]:
        """Pack the clicks for the kernels. Usually all but the newest are packed already."""
        count = len(clicks)
        if count > len(self._packed):
            self._packed = np.zeros(2 * count, CLICK)
            self._known = []
        start = count - 1 if clicks[:-1] == self._known[: count - 1] else 0
        for i in range(start, count):
            click = clicks[i]
            self._packed[i] = click.y, click.x, click.positive, click.index
        self._known = list(clicks)
        return self._packed[:count].view(np.uint8)

    def _new_map(self, height: int, width: int) -> Any:
        area = height * width
        if isinstance(self._options.size, int):  # every region may have another size
            return self._device.empty((height, width), np.float32)
        if not self._maps or self._maps[-1].size < area:
            try:
                self._maps = list(self._device.empty((MAPS, area), np.float32))
            except MemoryError:
                self._maps = []
                return self._device.empty((height, width), np.float32)
        return self._maps.pop()[:area].reshape(height, width)

    def _uploaded(self, array: NDArray[Any]) -> Any:
        place = self._device.empty(array.shape, array.dtype)
        with self._device.current():
            self._device.copy_in(place, array, self._stream)
            self._device.synchronize(self._stream)  # the caller may change the array from here on
        return place
