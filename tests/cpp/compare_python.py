"""Python and C++ click alike: ``python compare_python.py LIBRARY NETWORK SESSIONS PHOTOGRAPH…``.

Takes the same five clicks through the C library (ctypes) and through the Python session, on OpenVINO, and fails where a
mask differs in 0.1 % of its pixels or more. Prints the milliseconds of both for later clicks; does not judge them.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from statistics import median

import numpy as np

from mfp import Session, load_network, read_image

CLICKS = 5
ALLOWED = 1e-3  # of a mask's pixels


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 1020)]


class Image(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("pixels", ctypes.c_void_p),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("row_stride", ctypes.c_ssize_t),
    ]


class Timing(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t)]
    _fields_ += [*((stage, ctypes.c_double) for stage in ("crop", "encode", "modulate", "network", "paste", "device"))]
    _fields_ += [("passes", ctypes.c_int)]


class Library:
    """``mfp.h``, as far as it is needed here."""

    def __init__(self, path: str, network: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.mfp_session_free.argtypes = [ctypes.c_void_p]
        self._network = ctypes.c_void_p()
        self("mfp_network_load", network.encode(), None, ctypes.byref(self._network))

    def __call__(self, function: str, *arguments: object) -> None:
        error = Error()
        if getattr(self._library, function)(*arguments, ctypes.byref(error)):
            raise RuntimeError(f"{function}: {error.message.decode()}")

    def masks(
        self, image: np.ndarray, clicks: list[tuple[float, float, bool]]
    ) -> tuple[list[np.ndarray], list[Timing]]:
        picture = Image(ctypes.sizeof(Image), image.ctypes.data, *image.shape, 0)
        session = ctypes.c_void_p()
        self("mfp_session_new", self._network, ctypes.byref(picture), None, ctypes.byref(session))
        masks, timings = [], []
        for x, y, positive in clicks:
            mask, timing = np.empty(image.shape[:2], np.uint8), Timing(ctypes.sizeof(Timing))
            place = mask.ctypes.data_as(ctypes.c_void_p)
            self("mfp_session_click", session, ctypes.c_double(x), ctypes.c_double(y), int(positive), place)
            self("mfp_session_timing", session, ctypes.byref(timing))
            masks.append(mask > 0)
            timings.append(timing)
        self._library.mfp_session_free(session)
        return masks, timings


def main(library_path: str, network_path: str, sessions: int, photographs: list[str]) -> int:
    library = Library(library_path, network_path)
    network = load_network(network_path, runtime="openvino")
    generator = np.random.default_rng(0)
    worst, ours, theirs, outside = 0.0, [], [], []
    for i in range(sessions):
        image = np.ascontiguousarray(read_image(Path(photographs[i % len(photographs)])))
        height, width = image.shape[:2]
        clicks = [(generator.uniform(0, width), generator.uniform(0, height), k % 2 == 0) for k in range(CLICKS)]
        masks, timings = library.masks(image, clicks)
        session = Session(network, image)
        for k, (click, mask, timing) in enumerate(zip(clicks, masks, timings, strict=True)):
            difference = float((session.click(*click).array != mask).mean())
            worst = max(worst, difference)
            if k:
                work = timing.crop + timing.encode + timing.modulate + timing.paste
                ours.append(work + timing.network)
                theirs.append(session.timing.total)
                outside.append((work, session.timing.outside_network))
    print(f"{sessions} sessions of {CLICKS} clicks: masks differ in at most {worst:.5%} of their pixels")
    here, there = np.median(outside, axis=0)
    print(
        f"later clicks, median ms: C++ {median(ours):.1f} ({here:.1f} outside the network), "
        f"Python {median(theirs):.1f} ({there:.1f})"
    )
    return int(worst >= ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
