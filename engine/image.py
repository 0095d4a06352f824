"""Images on their way in: what is accepted, what is converted, what is refused."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError

U8 = NDArray[np.uint8]


def as_rgb(image: Any) -> U8:
    """An array as H×W×3 uint8 RGB.

    Args:
        image: anything on the host that NumPy can read (arrays, PIL images, torch CPU tensors), uint8: H×W×3 RGB;
            H×W or H×W×1 grey, which is repeated; H×W×4 RGBA, whose alpha is dropped (not composited).

    Raises:
        ImageError: for other types and shapes, empty images and arrays in GPU memory.
    """
    if hasattr(image, "__cuda_array_interface__"):
        raise ImageError(
            "expected an image in host memory, got one in GPU memory; copy it first (CuPy: .get(), torch: .cpu())"
        )
    array = _as_array(image, "an image")
    check_image(str(array.dtype), array.shape)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def check_image(dtype: str, shape: tuple[int, ...]) -> None:
    """Hold an image's type, by its name, and its shape against what sessions take.

    Raises:
        ImageError: saying what is expected.
    """
    if dtype != "uint8":
        raise ImageError(
            f"expected an image of uint8 values 0 to 255, got {dtype}; convert it first, for values in "
            "[0, 1] with (image * 255).round().astype('uint8')"
        )
    if len(shape) != 2 and (len(shape) != 3 or shape[2] not in (1, 3, 4)):
        hint = ""
        if len(shape) == 3 and shape[0] in (1, 3, 4):
            hint = "; this looks like channels first, so pass image.transpose(1, 2, 0)"
        raise ImageError(
            f"expected an image of shape H×W×3 (or H×W, H×W×1, H×W×4), got {'×'.join(map(str, shape))}{hint}"
        )
    if 0 in shape:
        raise ImageError(f"expected an image with pixels, got an empty one of {shape[0]}×{shape[1]}")


def _as_array(value: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ImageError(
            f"expected {what} that NumPy can read as an array, got {type(value).__name__} ({error})"
        ) from None


def as_initial_mask(mask: Any, height: int, width: int) -> NDArray[np.float32]:
    """A mask from the user as a map of 0 and 1 (spec section 1, "initial mask").

    Args:
        mask: H×W of bool, of 0 and 1, or of 0 and 255; or a :class:`~mfp.engine.mask.Mask`.

    Raises:
        ImageError: for another size or other values.
    """
    array = _as_array(mask, "an initial mask")
    if array.shape != (height, width):
        raise ImageError(
            f"expected an initial mask of the image's {height}×{width}, got {'×'.join(map(str, array.shape))}"
        )
    if array.dtype.kind not in "buif":
        raise ImageError(f"expected an initial mask of bool or numbers, got {array.dtype}")
    if array.dtype != np.bool_:
        top = 255 if array.max() > 1 else 1
        if not np.isin(array, (0, top)).all():
            raise ImageError(
                f"expected an initial mask of bool, of 0 and 1, or of 0 and 255, got {array.dtype} with other values; "
                "threshold it first, for a probability map with mask > 0.5"
            )
    result: NDArray[np.float32] = (array != 0).astype(np.float32)
    return result


def read_image(path: str | os.PathLike[str]) -> U8:
    """Read a photograph as H×W×3 uint8 RGB, turned upright by its EXIF orientation.

    Grey files are repeated to three channels, alpha is dropped, 16-bit files are reduced to 8 bits.

    Raises:
        ImageError: where there is no such file or it is no image that OpenCV reads.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe or device could be read for ever
            raise ImageError(f"cannot read {path}: expected a file")
        data = path.read_bytes()  # not cv2.imread: it cannot open all Unicode paths on Windows, nor say why it failed
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror or error}") from None
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str = "the image") -> U8:
    """A photograph's file as H×W×3 uint8 RGB, as :func:`read_image` gives it.

    Args:
        data: the bytes of a JPEG, PNG, WebP, TIFF or BMP file.
        name: of the image, for messages.

    Raises:
        ImageError: it is no image that OpenCV reads, or is too large for it.
    """
    import cv2

    decoded = None
    if data:
        try:
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except (cv2.error, MemoryError) as error:  # OpenCV refuses more than 2^30 pixels, or has no memory for fewer
            raise ImageError(f"cannot decode {name}: too large or damaged ({error})") from None
    if decoded is None:
        raise ImageError(
            f"{name} is no image that can be read ({len(data):,} bytes); expected JPEG, PNG, WebP, TIFF or BMP"
        )
    return np.ascontiguousarray(decoded[:, :, ::-1])


def write_png(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> Path:
    """Write H×W×3 RGB or H×W grey, uint8, as PNG.

    The file appears complete or not at all. An older file of that name is replaced.

    Raises:
        ImageError: the file cannot be written there.
    """
    import cv2

    _, encoded = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    # Not cv2.imwrite: it cannot open every Unicode path on Windows and only returns False where it fails.
    return write_file(path, encoded.tobytes())


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file so that it appears complete or not at all.

    Raises:
        ImageError: it cannot be written there.
    """
    path = Path(path)
    partial = path.parent / f".{os.urandom(8).hex()}.tmp"
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ImageError(f"cannot write {path}: {error.strerror}; the folder must exist and be writable") from error
    return path
