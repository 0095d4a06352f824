"""Images and streams that an application brings along, judged by what they say of themselves. No GPU is needed."""

import ctypes
import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from mfp.engine.errors import ImageError, OptionError
from mfp.engine.pipelines.arrays import as_device_image, is_on_device, stream_handle

RGBA = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
WANTED = {  # view, and what the kernels must read from it
    "contiguous": (RGBA[:, :, :3].copy(), RGBA[:, :, :3]),
    "one of a larger image": (RGBA[1:, 2:5, :3], RGBA[1:, 2:5, :3]),
    "every other row, mirrored": (RGBA[::2, ::-1, :3], RGBA[::2, ::-1, :3]),
    "BGR read as RGB": (RGBA[:, :, 2::-1], RGBA[:, :, 2::-1]),
    "planes": (np.ascontiguousarray(RGBA[:, :, :3].transpose(2, 0, 1)).transpose(1, 2, 0), RGBA[:, :, :3]),
    "RGBA": (RGBA, RGBA[:, :, :3]),
    "grey": (RGBA[:, :, 1], np.repeat(RGBA[:, :, 1:2], 3, axis=2)),
    "grey, contiguous": (RGBA[:, :, 1].copy(), np.repeat(RGBA[:, :, 1:2], 3, axis=2)),
    "grey of one channel": (RGBA[:, :, 1:2], np.repeat(RGBA[:, :, 1:2], 3, axis=2)),
}


class Given:
    """An array of the host that says it lies on a GPU."""

    def __init__(self, array, **fields):
        self.array = array
        face = {"shape": array.shape, "typestr": array.dtype.str, "data": (array.ctypes.data, True), "version": 3}
        if not array.flags.c_contiguous:
            face["strides"] = array.strides
        self.__cuda_array_interface__ = face | {"stream": None} | fields


class GivenByDLPack:
    """The same through DLPack. NumPy makes the capsule; of the device it says what it is told."""

    def __init__(self, array, kind=2):
        self.array, self.kind, self.streams = array, kind, []

    def __dlpack_device__(self):
        return self.kind, 0

    def __dlpack__(self, *, stream):
        self.streams.append(stream)
        return self.array.__dlpack__()


class Device:
    """Takes note of the streams that are waited for."""

    def __init__(self, problem=""):
        self.problem, self.waited = problem, []

    def synchronize(self, stream):
        self.waited.append(stream)

    def why_out_of_reach(self, address):
        return self.problem


def pixels_of(image):
    """What a kernel reads: by address and strides."""
    places = np.ogrid[: image.height, : image.width, :3]
    addresses = image.address + sum(place * stride for place, stride in zip(places, image.strides, strict=True))
    return np.vectorize(lambda address: ctypes.c_uint8.from_address(int(address)).value)(addresses)


@pytest.mark.parametrize("given_as", [Given, GivenByDLPack])
@pytest.mark.parametrize("name", WANTED)
def test_images_are_read_where_they_are(given_as, name):
    array, expected = WANTED[name]
    given = given_as(array)
    assert is_on_device(given)
    image = as_device_image(given, Device(), 7)
    assert (image.height, image.width) == expected.shape[:2]
    np.testing.assert_array_equal(pixels_of(image), expected)
    assert image.address == array.ctypes.data


def test_images_stay_alive():
    array = RGBA[:, :, :3].copy()
    for given_as in (Given, GivenByDLPack):
        given = given_as(array)
        gone = weakref.ref(given)
        image = as_device_image(given, Device(), 7)
        del given
        gc.collect()
        assert gone() is not None
        del image
        gc.collect()
        assert gone() is None


def test_the_producers_stream_is_waited_for():
    device = Device()
    as_device_image(Given(RGBA, stream=12), device, 7)
    as_device_image(Given(RGBA, stream=None), device, 7)
    assert device.waited == [12]
    given = GivenByDLPack(RGBA)
    as_device_image(given, device, 7)
    as_device_image(given, device, 0)
    assert given.streams == [7, 1]  # there the default stream's name is 1
    assert device.waited == [12]


def test_an_interface_that_knows_no_streams_gives_way_to_dlpack():
    """PyTorch's tensors have both."""
    given = GivenByDLPack(RGBA)
    given.__cuda_array_interface__ = Given(RGBA).__cuda_array_interface__
    del given.__cuda_array_interface__["stream"]
    as_device_image(given, Device(), 7)
    assert given.streams == [7]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (RGBA.astype(np.float32), "uint8 values 0 to 255, got float32"),
        (RGBA.view(np.int8), "got int8"),
        (RGBA[:, :, :2], r"H×W×3 \(or H×W, H×W×1, H×W×4\), got 5×7×2"),
        (RGBA.transpose(2, 0, 1), "channels first"),
        (RGBA[None], "got 1×5×7×4"),
        (RGBA[:0], "empty one of 0×7"),
    ],
)
@pytest.mark.parametrize("given_as", [Given, GivenByDLPack])
def test_what_is_refused(given_as, array, words):
    with pytest.raises(ImageError, match=words):
        as_device_image(given_as(array), Device(), 7)


def test_memory_out_of_reach_and_masks_are_refused():
    with pytest.raises(ImageError, match="network's GPU; the one given lies on GPU 1"):
        as_device_image(Given(RGBA), Device("lies on GPU 1, the network on GPU 0"), 7)
    with pytest.raises(ImageError, match="without a mask"):
        as_device_image(Given(RGBA, mask=RGBA), Device(), 7)


@pytest.mark.parametrize(
    "image", [RGBA, RGBA.tolist(), "photo.jpg", GivenByDLPack(RGBA, kind=1), GivenByDLPack(RGBA, kind=3)]
)
def test_what_lies_on_the_host(image):
    assert not is_on_device(image)


def test_streams():
    assert stream_handle(0) == 0
    assert stream_handle(1234) == 1234
    assert stream_handle(SimpleNamespace(ptr=5)) == 5  # CuPy
    assert stream_handle(SimpleNamespace(cuda_stream=6)) == 6  # PyTorch
    assert stream_handle(SimpleNamespace(handle=7)) == 7  # PyCUDA
    assert stream_handle(SimpleNamespace(__cuda_stream__=lambda: (0, 8), ptr=9)) == 8


@pytest.mark.parametrize("stream", [None, True, -1, 1.0, "0", SimpleNamespace(handle=None)])
def test_what_is_no_stream(stream):
    with pytest.raises(OptionError, match="expected a CUDA stream: its raw handle"):
        stream_handle(stream)
