"""The `Mask` class: an immutable boolean map that answers a click, and its conversions for other programs."""

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

_CPU = (1, 0)  # DLPack's device pair (kDLCPU, device 0)


class RLE(TypedDict):
    """A run-length encoding as in COCO's JSON files: ``size`` [H, W] and compressed ``counts``."""

    size: list[int]
    counts: str


class Mask:
    """An immutable boolean H×W map, True where the object is.

    A writeable array is copied, so that later writes to it cannot reach the mask. A C-contiguous array that owns its
    memory and is read-only is used without a copy: mark a new array read-only to save the copy. Two masks are equal
    if their shapes and contents are.

    Args:
        array: bool array H×W of at least one pixel.

    Raises:
        ImageError: ``array`` is no such NumPy array.
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
        """The mask of a GPU's packed bits, one bit per pixel; unpacked when its map is first used.

        Args:
            bits: uint8 array of height × ceil(width / 32) · 4 bytes; the lowest bit is leftmost, each row is padded to
                32 bits. Kept without a copy: do not change it.
            height, width: size in pixels, at least 1.
        """
        mask = cls.__new__(cls)
        mask._map, mask._bits, mask._shape = None, bits, (height, width)
        return mask

    @property
    def _array(self) -> NDArray[np.bool_]:
        bits = self._bits  # two threads may run this at the same time; both then unpack
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
        """The map itself, no copy: bool, H×W, C-contiguous, read-only."""
        return self._array

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self._shape

    @cached_property
    def area(self) -> int:
        """Number of True pixels."""
        return int(np.count_nonzero(self._array))

    @cached_property
    def box(self) -> Roi | None:
        """(row_min, row_max, col_min, col_max) of the object in pixels, inclusive as in a session's ``roi``.

        None if the mask is empty.
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
        # NumPy drops the read-only flag when it copies or pickles, so the constructor runs again.
        return Mask, (self._array,)

    # Arrays of other libraries

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Array for ``np.asarray(mask)``: the read-only map if ``dtype`` allows it, else a writeable copy."""
        if dtype is None or np.dtype(dtype) == np.bool_:
            return self._array.copy() if copy else self._array
        if copy is False:
            raise ValueError(f"a mask is bool: {np.dtype(dtype)} needs a copy, which copy=False forbids")
        return self._array.astype(dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The (device type, device number) of DLPack: always the CPU, (1, 0)."""
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

        DLPack before 1.0 has no read-only flag: NumPy refuses to export a read-only array to it, and a consumer could
        write into the mask. A copy needs no flag, so the capsule is the unversioned one, which every consumer accepts,
        whatever its ``max_version``.

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
        """COCO's compressed run-length encoding, as in its JSON files; exact, holes included."""
        from pycocotools import mask as coco

        encoded = coco.encode(np.asfortranarray(self._array.view(np.uint8)))
        return {"size": list(self.shape), "counts": encoded["counts"].decode("ascii")}

    @classmethod
    def from_rle(cls, rle: RLE | Mapping[str, Any]) -> Mask:
        """The mask of a compressed COCO run-length encoding.

        Args:
            rle: mapping with ``size`` [H, W] and ``counts`` as str, or as bytes from pycocotools.

        Raises:
            ImageError: a key is missing, or the runs do not add up to H·W pixels.
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

        Convention: pixel (x, y) is the square [x, x + 1] × [y, y + 1], and a polygon runs along the **edges** of
        pixels. Its vertices are therefore whole numbers from 0 to W or H, its area is a number of pixels, a single
        pixel is a square, and no polygon touches itself or overlaps another. Every rasteriser that samples pixel
        centres (x + ½, y + ½), pycocotools among them, reproduces the mask with holes filled. (OpenCV and clicks have
        the centre of pixel (x, y) at (x, y) itself: subtract ½ for them.)

        A hole is background with no path of horizontal and vertical steps to the border of the image. Everything inside
        a hole is filled too. Use :meth:`to_rle` where holes matter.

        Returns:
            float32 arrays n×2 of (x, y), n ≥ 4, not closed (the first vertex is not repeated), clockwise on the screen
            from the topmost, then leftmost vertex, ordered by that vertex. The list is empty for an empty mask.
            ``polygon.ravel().tolist()`` is an entry of COCO's ``segmentation``.
        """
        if self.box is None:
            return []
        filled = _fill_holes(self._array[self.box.slices])
        corner = np.array([self.box.col_min, self.box.row_min])
        return [(outline + corner).astype(np.float32) for outline in _outlines(filled)]

    def save_png(self, path: str | os.PathLike[str]) -> None:
        """Write an 8-bit single-channel PNG: 255 on the object, 0 elsewhere.

        The file appears complete or not at all. An existing file of that name is replaced.

        Raises:
            ImageError: the file cannot be written there.
        """
        write_png(path, self._array.view(np.uint8) * np.uint8(255))


def _run_lengths(counts: str) -> list[int]:
    """The runs of a compressed COCO string.

    A number is written in characters of 5 bits, lowest first, with offset 48. Bit 0x20 marks that more characters
    follow; bit 0x10 of the last one is the sign. From the fourth run on, the number is the difference to the run two
    before. Decoded here because pycocotools returns uninitialised memory for a truncated string.
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
    # An outline turns where an odd number of the four pixels around a pixel corner is True. Where two diagonal
    # neighbours meet, two outlines turn, each around its own pixel: such a corner counts twice.
    a, b, c, d = framed[:-1, :-1], framed[:-1, 1:], framed[1:, :-1], framed[1:, 1:]
    meeting = (a == d) & (b == c) & (a != b)
    ys, xs = np.nonzero((a ^ b ^ c ^ d) | meeting)
    twice = meeting[ys, xs]
    copies = 1 + twice
    second = (np.cumsum(copies) - 1)[twice]  # index of the second copy of a meeting corner
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
