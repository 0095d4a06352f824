"""The answer to a click: an immutable boolean map, and the forms that other programs want it in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from .errors import ImageError
from .image import write_png
from .roi import Roi, bounding_box

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_CPU = (1, 0)  # DLPack's (kDLCPU, device 0)


class RLE(TypedDict):
    """A run-length encoding as COCO's JSON files hold it: ``size`` [H, W] and compressed ``counts``."""

    size: list[int]
    counts: str


class Mask:
    """An immutable boolean H×W map, True where the object is.

    A writeable array is copied, so that later writes to it cannot reach the mask. A C-contiguous array that
    owns its memory and is already read-only is taken over as it is: who has just made one and marks it
    read-only saves the copy. Two masks are equal where shape and content are.

    Args:
        array: bool, H×W, at least one pixel.

    Raises:
        ImageError: ``array`` is no NumPy array of that kind.
    """

    def __init__(self, array: NDArray[np.bool_]) -> None:
        is_array = isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray)
        if not is_array or array.dtype != np.bool_ or array.ndim != 2 or not array.size:
            got = f"{array.dtype} {array.shape}" if is_array else type(array).__name__
            raise ImageError(
                f"a mask is a NumPy array of bool, H×W, with at least one pixel; got {got}: "
                "compare a probability map with a threshold first"
            )
        if array.flags.writeable or not array.flags.owndata or not array.flags.c_contiguous:
            array = array.copy(order="C")
            array.flags.writeable = False
        self._map: NDArray[np.bool_] | None = array
        self._bits: NDArray[np.uint8] | None = None
        self._shape: tuple[int, int] = array.shape

    @classmethod
    def from_bits(cls, bits: NDArray[np.uint8], height: int, width: int) -> Mask:
        """The mask of one bit a pixel, as a GPU packs it; unpacked when its map is first asked for.

        Args:
            bits: uint8 of height × ceil(width / 32) · 4 bytes; lowest bit leftmost, each row filled up to 32 bits.
                Kept, not copied: leave it unchanged.
            height, width: in pixels, at least 1.
        """
        mask = cls.__new__(cls)
        mask._map, mask._bits, mask._shape = None, bits, (height, width)
        return mask

    @property
    def _array(self) -> NDArray[np.bool_]:
        bits = self._bits  # two threads may come here at once; both then unpack
        if self._map is None and bits is not None:
            height, width = self._shape
            rows = np.unpackbits(bits.reshape(height, -1), axis=1, count=width, bitorder="little").view(np.bool_)
            rows.flags.writeable = False
            self._map = rows
            self._bits = None
        assert self._map is not None
        return self._map

    @property
    def array(self) -> NDArray[np.bool_]:
        """The map itself: bool, H×W, C-contiguous, read-only, not a copy."""
        return self._array

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self._shape

    @cached_property
    def area(self) -> int:
        """Number of pixels that are True."""
        return int(np.count_nonzero(self._array))

    @cached_property
    def box(self) -> Roi | None:
        """(row_min, row_max, col_min, col_max) of the object in pixels, inclusive as in a session's ``roi``.

        None where the mask is empty.
        """
        return bounding_box(self._array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return np.array_equal(self._array, other._array)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Mask({height}×{width}, area={self.area}, box={self.box and tuple(self.box)})"

    def __reduce__(self) -> tuple[type[Mask], tuple[NDArray[np.bool_]]]:
        # NumPy forgets the read-only flag when it copies or pickles: pass through the constructor again.
        return Mask, (self._array,)

    # Arrays of other libraries

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """For ``np.asarray(mask)``: the read-only map where ``dtype`` allows it, else a writeable copy."""
        if dtype is None or np.dtype(dtype) == np.bool_:
            return self._array.copy() if copy else self._array
        if copy is False:
            raise ValueError(f"a mask is bool: {np.dtype(dtype)} needs a copy, which copy=False forbids")
        return self._array.astype(dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(device type, device number) of DLPack: always the CPU, (1, 0)."""
        return _CPU

    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule (bool, H×W) of a **copy**.

        DLPack before 1.0 cannot say "read-only": NumPy refuses to export a read-only array to it, and a
        consumer could write into the mask. A copy needs no such word, so the capsule is the unversioned one,
        which every consumer takes, whatever ``max_version`` it names.

        Raises:
            BufferError: the consumer asks for another device or forbids the copy.
        """
        if stream is not None or dl_device not in (None, _CPU):
            raise BufferError(f"a mask lies on the CPU; asked for device {dl_device}, stream {stream}")
        if copy is False:
            raise BufferError("a mask is immutable and exports a copy only; asked for copy=False")
        return self._array.copy().__dlpack__()

    # Files and annotations

    def to_rle(self) -> RLE:
        """COCO's compressed run-length encoding, as its JSON files hold it; exact, holes included."""
        from pycocotools import mask as coco

        encoded = coco.encode(np.asfortranarray(self._array.view(np.uint8)))
        return {"size": list(self.shape), "counts": encoded["counts"].decode("ascii")}

    @classmethod
    def from_rle(cls, rle: RLE | Mapping[str, Any]) -> Mask:
        """The mask of a compressed COCO run-length encoding.

        Args:
            rle: ``size`` [H, W] and ``counts`` as str, or as the bytes that pycocotools makes.

        Raises:
            ImageError: something is missing, or the runs do not add up to H·W pixels.
        """
        try:
            height, width = (int(side) for side in rle["size"])
            counts = rle["counts"]
            runs = _run_lengths(counts.decode("ascii") if isinstance(counts, bytes) else counts)
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(
                f'expected a COCO RLE {{"size": [H, W], "counts": compressed string}}; {error!r}'
            ) from error
        if height < 1 or width < 1 or min(runs, default=0) < 0 or sum(runs) != height * width:
            raise ImageError(
                f"RLE of size {height}×{width} must have {height * width} pixels in runs of 0 or more; "
                f"got {sum(runs)} in {len(runs)} runs, shortest {min(runs, default=0)}"
            )
        # Runs alternate False, True, … down the columns.
        values = np.arange(len(runs)) % 2 == 1
        return cls(np.repeat(values, runs).reshape(width, height).T)

    def to_polygons(self) -> list[NDArray[np.float32]]:
        """Outlines of the object with its holes filled, in COCO's pixel coordinates.

        One convention: pixel (x, y) is the square [x, x + 1] × [y, y + 1] and a polygon runs along **edges**
        of pixels, so that its vertices are whole numbers from 0 to W or H, its area is a number of pixels, a
        single pixel is a square, and no polygon touches itself or overlaps another. Every rasteriser that
        asks for a pixel's centre (x + ½, y + ½), pycocotools among them, gives the mask back, holes filled.
        (In OpenCV and in a click the centre of pixel (x, y) is (x, y) itself: subtract ½ there.)

        A hole is background that cannot leave the image in horizontal and vertical steps; what lies inside it
        is filled too. Use :meth:`to_rle` where holes matter.

        Returns:
            float32 arrays n×2 of (x, y), n ≥ 4, not closed (the last vertex is not the first again),
            clockwise on the screen from the topmost, then leftmost vertex, ordered by that vertex. No arrays
            for an empty mask. ``polygon.ravel().tolist()`` is an entry of COCO's ``segmentation``.
        """
        if self.box is None:
            return []
        filled = _fill_holes(self._array[self.box.slices])
        corner = np.array([self.box.col_min, self.box.row_min])
        return [(outline + corner).astype(np.float32) for outline in _outlines(filled)]

    def save_png(self, path: str | os.PathLike[str]) -> None:
        """Write an 8-bit single-channel PNG: 255 on the object, 0 elsewhere.

        The file appears complete or not at all. An older file of that name is replaced.

        Raises:
            ImageError: the file cannot be written there.
        """
        write_png(path, self._array.view(np.uint8) * np.uint8(255))


def _run_lengths(counts: str) -> list[int]:
    """The runs of a compressed COCO string.

    A number is written 5 bits a character, lowest first, offset 48; 0x20 says that more follows, 0x10 of the
    last is the sign. From the fourth on it is the difference to the run two before. Done here because
    pycocotools returns uninitialised memory for a string that is cut short.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"character {character!r} in counts")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("counts end inside a number")
    return runs


def _fill_holes(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``array`` with its holes True, inside a frame of one False pixel: (H + 2)×(W + 2)."""
    import cv2

    framed = np.pad(array.view(np.uint8), 1)
    cv2.floodFill(framed, None, (0, 0), 2, flags=4)
    filled: NDArray[np.bool_] = framed != 2
    return filled


def _outlines(framed: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Outlines n×2 (x, y) of a framed map without holes; (0, 0) is the upper left corner of pixel [1, 1]."""
    # An outline turns where an odd number of the four pixels around a pixel corner is True. Where two
    # diagonal neighbours meet, two outlines turn, each around its own pixel: such a corner counts twice.
    a, b, c, d = framed[:-1, :-1], framed[:-1, 1:], framed[1:, :-1], framed[1:, 1:]
    meeting = (a == d) & (b == c) & (a != b)
    ys, xs = np.nonzero((a ^ b ^ c ^ d) | meeting)
    twice = meeting[ys, xs]
    copies = 1 + twice
    second = (np.cumsum(copies) - 1)[twice]  # where the second copy of a meeting corner will lie
    ys, xs = np.repeat(ys, copies), np.repeat(xs, copies)

    # In row-major order, corners 0–1, 2–3, … are the ends of the horizontal edges; the first copy of a
    # meeting corner ends the edge on its left. In column-major order the same holds for vertical edges, the
    # earlier copy ending the edge above: the first one where the upper left pixel is True, else the second.
    late = np.zeros(len(xs), np.bool_)
    falling = a[ys[second], xs[second]]
    late[second] = falling
    late[second - 1] = ~falling
    order = np.lexsort((late, ys, xs))
    along_column = np.empty(len(xs), np.int64)
    along_column[order[0::2]], along_column[order[1::2]] = order[1::2], order[0::2]

    points = np.stack((xs, ys), axis=1)
    following: list[int] = along_column.tolist()
    seen = bytearray(len(following))
    outlines = []
    for start in range(0, len(following), 2):
        outline: list[int] = []
        corner = start
        while not seen[corner]:
            right = corner ^ 1
            seen[corner] = seen[right] = 1
            outline += corner, right
            corner = following[right]
        if outline:
            outlines.append(points[outline])
    return outlines
