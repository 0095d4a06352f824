"""Kernels one by one, on the CPU and, where there is one, on a GPU."""

import ctypes
import importlib.metadata

import numpy as np
import pytest

from mfp.kernels import block as layout
from mfp.kernels.clicks import Click

MODULATION = "mfp_window", "mfp_select_second", "mfp_select_third", "mfp_modulate"


class Workbench:
    """A lane and a parameter block on a device, and the kernels to work on them.

    Args:
        device: a ``Device``, or its twin on the host.
        size: (H, W) of the maps.
        batch: 1, or 2: the second item is the mirrored one.
    """

    def __init__(self, device, size, batch=1, capacity=16):
        height, width = self.size = size
        self.device, self.stream = device, device.new_stream()
        self._arrays, self._head = {}, np.zeros((), layout.BLOCK)
        self.lane = np.zeros((), layout.LANE)
        for name, value in {"batch": batch, "height": height, "width": width, "capacity": capacity}.items():
            self.lane[name] = value
        for name, channels in {"image": 3, "prev": 1, "modulated": 1, "clicks": 2, "logits": 1}.items():
            self.lane[name] = self._reserve(name, (batch, channels, height, width), np.float32)
        self.lane["keys"] = self._reserve("keys", (batch, height, width), np.uint32)
        self.lane["windows"] = self._reserve("windows", (batch, layout.WINDOW.itemsize), np.uint8)
        self.lane["placed"] = self._reserve("placed", (batch, capacity, layout.PLACED.itemsize), np.uint8)
        self._head["map"] = self._reserve("map", size, np.float32)
        self.set_block(r_max=100, threshold=0.5, disk_radius=5, n_early=7, mapped=1, bootstrapped=1, newest=-1)

    def _reserve(self, name, shape, dtype):
        self._arrays[name] = self.device.empty(shape, dtype)
        return self.device.address(self._arrays[name])

    def put(self, name, values):
        """Copy values in. ``image``, ``prev`` and so on are the lane's, ``map`` is the click's."""
        target = self._arrays[name]
        values = np.broadcast_to(values, target.shape).astype(target.dtype)
        self.device.copy_in(target, values, self.stream.ptr)
        self.device.synchronize(self.stream.ptr)

    def get(self, name):
        source = self._arrays[name]
        staging = self.device.pinned(source.nbytes)
        self.device.copy_out(staging, source, self.stream.ptr)
        self.device.synchronize(self.stream.ptr)
        return staging.view(source.dtype).reshape(source.shape).copy()

    @property
    def windows(self):
        return self.get("windows").view(layout.WINDOW)[:, 0]

    @property
    def placed(self):
        return self.get("placed").view(layout.PLACED)[..., 0]

    def set_block(self, clicks=None, **fields):
        """Fields of the parameter block; of the clicks, the one of the largest index is the newest."""
        for name, value in fields.items():
            self._head[name] = value
        if clicks is not None:
            self._clicks = np.array([(c.y, c.x, c.positive, c.index) for c in clicks], layout.CLICK)
            self._head["n_clicks"] = len(clicks)
            self._head["newest"] = max(range(len(clicks)), key=lambda i: clicks[i].index, default=-1)
        parts = [self._head.tobytes(), self._clicks.tobytes()] if self._head["n_clicks"] else [self._head.tobytes()]
        self._arrays["block"] = self.device.empty(sum(map(len, parts)), np.uint8)
        self.put("block", np.frombuffer(b"".join(parts), np.uint8))

    def set_picture(self, image=None, probability=None, roi=None):
        """An image of any strides, its probability map, and the region of interest (None: all of it)."""
        if image is not None:
            owner = image
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            start = self._reserve("picture", owner.nbytes, np.uint8)
            self.put("picture", owner.reshape(-1).view(np.uint8))
            row, column, channel = image.strides
            start += image.ctypes.data - owner.ctypes.data
            self.set_block(image=start, image_row=row, image_column=column, image_channel=channel)
        if probability is not None:
            height, width = probability.shape
            address = self._reserve("probability", (height, width), np.float32)
            self.put("probability", probability)
            words = layout.mask_words(height, width)
            result = self._reserve("result", layout.RESULT.itemsize + 4 * words, np.uint8)
            self.put("result", 0xEE)
            self.set_block(probability=address, result=result, height=height, width=width)
        if roi is None:
            roi = 0, int(self._head["height"]) - 1, 0, int(self._head["width"]) - 1
        self.set_block(**dict(zip(("row_min", "row_max", "col_min", "col_max"), roi, strict=True)))

    @property
    def result(self):
        """Box and status."""
        return self.get("result")[: layout.RESULT.itemsize].view(layout.RESULT)[0]

    @property
    def mask(self):
        """H×W bool from the result's bits."""
        height, width = int(self._head["height"]), int(self._head["width"])
        rows = self.get("result")[layout.RESULT.itemsize :].reshape(height, -1)
        bits = np.unpackbits(rows, axis=1, bitorder="little")
        assert not bits[:, width:].any(), "expected rows that are filled up with zeros"
        return bits[:, :width].astype(bool)

    def unpacked_mask(self):
        """The mask as bytes, by the kernel that unpacks it."""
        height, width = int(self._head["height"]), int(self._head["width"])
        bits = self.device.address(self._arrays["result"]) + layout.RESULT.itemsize
        mask = self._reserve("mask", (height, width), np.uint8)
        arguments = bits, mask, np.int32(height), np.int32(width)
        self.device.launch("mfp_unpack", arguments, height * width, self.stream.ptr)
        self.device.synchronize(self.stream.ptr)
        return self.get("mask")

    def run(self, *kernels):
        """One after another, each on a grid that suits it."""
        batch, area = int(self.lane["batch"]), self.size[0] * self.size[1]
        width = int(self._head["width"])
        work = {
            "mfp_begin": 1,
            "mfp_bootstrap": batch * area,
            "mfp_paste": int(self._head["height"]) * -(-width // 32) * 32,
        }
        for kernel in kernels:
            items = batch if kernel == "mfp_disks" or kernel in MODULATION else 1
            arguments = self.lane, self.device.address(self._arrays["block"])
            self.device.launch(kernel, arguments, work.get(kernel, area), self.stream.ptr, items)
        self.device.synchronize(self.stream.ptr)

    def modulate(self, prev, clicks, image=None, **fields):
        """The modulated maps (batch, H, W) of previous maps, with clicks in map pixels."""
        self.put("prev", np.asarray(prev).reshape(-1, 1, *self.size))
        if image is not None:
            self.put("image", image)
        self.set_block(clicks, compare_rgb=image is not None, **fields)
        self.run("mfp_begin", *MODULATION)
        return self.get("modulated")[:, 0]


@pytest.fixture(params=["host", pytest.param("cuda", marks=pytest.mark.gpu)])
def make_device(request):
    """``make_device(threads=…, blocks=…, backward=…)``: the options are for the host; a GPU has its own."""
    if request.param == "host":
        return request.getfixturevalue("host_device")
    from mfp.engine.devices import cuda_driver

    if cuda_driver()[0] == 0:
        pytest.skip(cuda_driver()[1])
    from mfp.kernels.device import device_for

    return lambda **_: device_for(0)


@pytest.fixture
def workbench(make_device):
    """``workbench(size, batch=1, capacity=16, **options)``; options as for ``host_device``."""
    return lambda size, batch=1, capacity=16, **options: Workbench(make_device(**options), size, batch, capacity)


@pytest.fixture
def mirrored():
    """``mirrored(clicks, width)``: the same clicks on the mirrored map."""
    return lambda clicks, width: [Click(width - c.x - 1, c.y, c.positive, c.index) for c in clicks]


class Nvrtc:
    """NVIDIA's compiler as a library; needs no GPU."""

    def __init__(self, files):
        for builtins in (path for path in files if "nvrtc-builtins" in path.name):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)  # it does not find them by itself everywhere
        self._library = ctypes.CDLL(str(next(path for path in files if "builtins" not in path.name)))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def compile(self, source, *options):
        """The compiler's log. Fails the test with it where the source is refused."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        library, encoded = self._library, [option.encode() for option in options]
        assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"mfp.cu", 0, None, None) == 0
        status = library.nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(max(size.value, 1))
        library.nvrtcGetProgramLog(program, log)
        library.nvrtcDestroyProgram(ctypes.byref(program))
        text = log.value.decode()
        assert status == 0, text
        return text


@pytest.fixture(scope="session")
def nvrtc():
    """NVRTC from pip."""
    try:
        files = importlib.metadata.files("nvidia-cuda-nvrtc") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs NVRTC: pip install nvidia-cuda-nvrtc (part of the extra `dev`)")
    names = "libnvrtc.so", "libnvrtc-builtins.so", "nvrtc64", "nvrtc-builtins64"
    return Nvrtc([path.locate() for path in files if path.name.startswith(names) and ".alt." not in path.name])
