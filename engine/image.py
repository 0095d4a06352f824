"""Input images: types accepted, converted and refused (docs/images.md)."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError
from .image_files.decode import check_photograph, checked_header, decoded, read_bytes, straight

U8 = NDArray[np.uint8]

DIM = 1 << 14  # a 16-bit file below this value holds 14 bits or fewer; its white level is unknown
_HINTS = {
    "b": "for a mask as a picture with image.astype('uint8') * 255",
    "u": "16 bits with (image >> 8).astype('uint8'), 12 bits in them with (image >> 4).astype('uint8')",
    "i": "values 0 to 255 with image.astype('uint8'); negative or larger ones scale first",
    "f": "for values in [0, 1] with (image * 255).round().astype('uint8')",
}
_PIL_CONVERTED = ("1", "P", "PA", "LA", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


def as_rgb(image: Any) -> U8:
    """Convert an image to H×W×3 uint8 RGB.

    Args:
        image: array on the host that NumPy can read (also a torch CPU tensor), uint8: H×W×3 RGB; H×W or H×W×1 grey,
            which is repeated; H×W×4 RGBA, whose alpha is dropped (not composited). Or a PIL image of 8 bits,
            converted as ``image.convert("RGB")`` does; its EXIF orientation is not applied, with a warning.

    Raises:
        ImageError: the type or shape is another, the image is empty, or the array is in GPU memory.
    """
    array = _from_pil(image) if is_pil(image) else _as_array(image, "an image")
    check_image(array.dtype.name, array.shape)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def check_image(dtype: str, shape: tuple[int, ...]) -> None:
    """Check an image's shape and type (by name) against what sessions accept.

    Raises:
        ImageError: the type or shape is not accepted; the message states what is expected.
    """
    if dtype != "uint8":
        kind = "f" if dtype.startswith("bfloat") else dtype[0]
        hint = f"; convert it first, {_HINTS[kind]}" if kind in _HINTS else ""
        raise ImageError(f"expected an image of uint8 values 0 to 255, got {dtype}{hint}")
    if len(shape) != 2 and (len(shape) != 3 or shape[2] not in (1, 3, 4)):
        hint = ""
        if len(shape) == 3 and shape[0] in (1, 3, 4):
            hint = "; this looks like channels first, so pass image.transpose(1, 2, 0)"
        elif len(shape) == 4:
            hint = "; this looks like a batch, so pass one image of it: image[0]"
        raise ImageError(
            "expected an image of shape H×W×3 (or H×W, H×W×1, H×W×4), got "
            f"{'×'.join(map(str, shape)) or 'a single number'}{hint}"
        )
    if 0 in shape:
        raise ImageError(f"expected an image with pixels, got an empty one of {shape[0]}×{shape[1]}")


def is_pil(value: Any) -> bool:
    """Whether a value is a PIL image. Pillow is not imported: no PIL image exists before it is imported."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _from_pil(image: Any) -> U8:
    """A PIL image's pixels. NumPy would read a palette's indices as grey, and CMYK as RGB and alpha."""
    mode = image.mode
    if mode not in ("L", "RGB", *_PIL_CONVERTED):
        hint = {
            "RGBa": 'premultiplied colours: pass image.convert("RGBA")',
            "La": 'premultiplied colours: pass image.convert("LA")',
            "F": "floating-point values: scale them to 0 to 255 and pass uint8",
        }.get(mode, "more than 8 bits: scale its values to 0 to 255 and pass uint8")
        raise ImageError(f"expected a PIL image of 8 bits a channel, got mode {mode!r}, {hint}")
    if 0 in image.size:
        raise ImageError(f"expected an image with pixels, got an empty one of {image.height}×{image.width}")
    try:
        if mode == "P":  # converting directly to RGB, Pillow warns about transparency
            image = image.convert("RGBA")
        pixels: U8 = np.asarray(image.convert("RGB") if image.mode in _PIL_CONVERTED else image)
    except Exception as error:  # the file is read only now, and its reader can raise anything
        raise ImageError(f"cannot read this PIL image of mode {mode!r}: {error}") from None
    orientation = 1
    with suppress(Exception):  # damaged EXIF
        orientation = image.getexif().get(0x0112, 1)
    if orientation not in (0, 1):
        warnings.warn(
            f"this PIL image has the EXIF orientation {orientation}, which is not applied: clicks and masks are in its "
            "pixels as they are stored. Pass PIL.ImageOps.exif_transpose(image), or read_image(path), for upright ones",
            UserWarning,
            stacklevel=3,
        )
    return pixels


def _as_array(value: Any, what: str) -> NDArray[Any]:
    if value is None:
        raise ImageError(
            f"expected {what}, got None; cv2.imread returns None for a file that it cannot read: read_image(path) "
            "says why"
        )
    if isinstance(value, (str, os.PathLike)):
        raise ImageError(f"expected {what}'s pixels, got the path {os.fspath(value)!r}: pass read_image(path)")
    if isinstance(value, (bytes, bytearray)):
        raise ImageError(
            f"expected {what}'s pixels, got {len(value):,} bytes: pass mfp.engine.image.decode_image(data) for a "
            "file's content, a NumPy array for pixels"
        )
    if hasattr(value, "__cuda_array_interface__"):
        raise ImageError(
            f"expected {what} in host memory, got one in GPU memory; copy it first (CuPy: .get(), torch: .cpu())"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ImageError(f"expected {what} without masked pixels; say what they are, for example with .filled(0)")
    try:
        array = np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # other libraries raise any class: tensors on GPUs, with gradients, sparse
        raise ImageError(
            f"expected {what} that NumPy can read as an array, got {type(value).__name__} ({error})"
        ) from None
    if array.dtype.kind not in "buifc":
        raise ImageError(f"expected {what} as an array of numbers, got {type(value).__name__} of {array.dtype}")
    return array


def as_initial_mask(mask: Any, height: int, width: int) -> NDArray[np.float32]:
    """Convert a mask from the user to a float32 H×W map of 0 and 1 (spec section 1, "initial mask").

    Args:
        mask: H×W array of bool, of 0 and 1, or of 0 and 255; or a :class:`~mfp.engine.mask.Mask`, or a PIL image of one
            channel. A palette's indices are the values.

    Raises:
        ImageError: the size or the values are others.
    """
    if is_pil(mask):
        _check_pil_mask(mask)
    array = _as_array(mask, "an initial mask")
    if array.shape != (height, width):
        hint = ""
        if array.shape in ((height, width, 1), (1, height, width)):
            hint = "; pass mask.squeeze()"
        elif array.shape[:2] == (height, width):
            hint = "; pass the one channel that holds the mask, for example mask[:, :, 0], or mask[:, :, 3] for alpha"
        elif array.shape == (width, height):
            hint = "; this looks like rows and columns swapped, so pass mask.T"
        raise ImageError(
            f"expected an initial mask of the image's {height}×{width}, got "
            f"{'×'.join(map(str, array.shape)) or 'a single number'}{hint}"
        )
    if array.dtype.kind not in "buif":
        raise ImageError(f"expected an initial mask of bool or numbers, got {array.dtype}")
    if array.dtype != np.bool_:
        top = 255 if array.max() > 1 else 1
        if not ((array == 0) | (array == top)).all():
            raise ImageError(
                f"expected an initial mask of bool, of 0 and 1, or of 0 and 255, got {array.dtype} with other values; "
                "threshold it first, for a probability map with mask > 0.5, for one label of many with mask == label"
            )
    result: NDArray[np.float32] = (array != 0).astype(np.float32)
    return result


def _check_pil_mask(mask: Any) -> None:
    if mask.mode not in ("1", "L", "P", "I", "F") and not mask.mode.startswith("I;"):
        raise ImageError(
            f"expected an initial mask of one channel, got a PIL image of mode {mask.mode!r}: pass "
            'mask.convert("L"), or mask.getchannel("A") where the object lies in the alpha channel'
        )
    if mask.mode == "P" and any((mask.getpalette() or [0])[:3]):
        raise ImageError(
            "expected an initial mask whose palette has black at index 0, since indices are the values; got a PIL "
            'image of mode "P" with another colour there: pass mask.convert("L")'
        )


def read_image(path: str | os.PathLike[str]) -> U8:
    """Read a photograph as H×W×3 uint8 RGB, turned upright by its EXIF orientation.

    Grey files are repeated to three channels, alpha is dropped, 16-bit files are reduced to 8 bits. docs/images.md
    lists everything that is converted and refused.

    Raises:
        ImageError: the file does not exist, or is no photograph that can be read correctly.
    """
    return decode_image(read_bytes(path), str(path))


def decode_image(data: bytes, name: str = "the image", known: bool = False) -> U8:
    """Decode a photograph's file to H×W×3 uint8 RGB, as :func:`read_image` does.

    Args:
        data: content of a JPEG, PNG, WebP, TIFF or BMP file.
        name: name of the image, for messages.
        known: True if the file was accepted before, perhaps by an older version. A file that today's rules refuse is
            then read as before, so that work on it is not lost.

    Raises:
        ImageError: the file is no readable image, would not be read correctly, or is too large for OpenCV.
    """
    import cv2

    try:
        header = checked_header(data, name)
        check_photograph(header, name)
        data = straight(data, header)
    except ImageError:
        if not known or not data:
            raise
    pixels = decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, name)
    if pixels.dtype == np.uint16:
        top = int(pixels.max())
        if 0 < top < DIM and not known:
            raise ImageError(
                f"{name} has 16 bits a channel, of which its values use {top.bit_length()} (up to {top:,} of 65,535): "
                "what is white is not known. Scale it first: (image / white * 255).round().astype('uint8')"
            )
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:  # signed values, accepted before
        pixels = decoded(data, cv2.IMREAD_COLOR, name)
    return np.ascontiguousarray(pixels[:, :, ::-1])


def write_png(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> Path:
    """Write H×W×3 RGB or H×W grey, uint8, as PNG.

    The file appears complete or not at all. An existing file of that name is replaced.

    Raises:
        ImageError: the file cannot be written there.
    """
    import cv2

    _, encoded = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    # cv2.imwrite is not used: it cannot open every Unicode path on Windows and returns only False on failure.
    return write_file(path, encoded.tobytes())


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file so that it appears complete or not at all.

    Raises:
        ImageError: the file cannot be written there.
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
