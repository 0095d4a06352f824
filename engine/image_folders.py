"""Finder and reader of the images given to a command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import DatasetError, ImageError

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}  # image files in a folder


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The image files of these paths: files unchanged, and each folder's image files sorted by name.

    Raises:
        ImageError: a path does not exist, or a folder holds no image files.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            try:
                entries = sorted(path.iterdir())
            except OSError as error:
                raise ImageError(f"cannot list {path}: {error.strerror}; expected a readable folder") from None
            found = [f for f in entries if is_image(f)]
            if not found:
                raise ImageError(f"no image files in {path}; expected names ending in {', '.join(sorted(SUFFIXES))}")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise ImageError(f"no such file or folder: {path}")
    return files


def by_name(folder: Path) -> dict[str, Path]:
    """The image files of a folder by name without suffix, sorted by name.

    Raises:
        DatasetError: two files share a name.
        OSError: the folder cannot be listed.
    """
    files: dict[str, Path] = {}
    for file in sorted(f for f in folder.iterdir() if is_image(f)):
        if file.stem in files:
            raise DatasetError(f"expected one file of a name in {folder}, got {files[file.stem].name} and {file.name}")
        files[file.stem] = file
    return files


def is_image(file: Path) -> bool:
    """Whether a file of a folder counts as an image, by its name."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def size_problem(mask: Path, size: tuple[int, ...], photograph: Path, upright: tuple[int, ...]) -> str:
    """The reason why a mask does not fit a photograph, by their sizes (H, W) in pixels; empty if it fits."""
    if size == upright:
        return ""
    sizes = " and ".join(f"{height}×{width}" for height, width in (size, upright))
    hint = ""
    if size == upright[::-1]:
        hint = "; the mask fits the photograph as it is stored, before its EXIF orientation: turn the mask as well"
    return f"{mask} and {photograph} have different sizes, {sizes}; expected the same{hint}"


def readable_images(
    files: list[Path], limit: int | None, skip: Callable[[Path, ImageError], None]
) -> Iterator[tuple[str, Any]]:
    """Yield the first ``limit`` readable images, one at a time, as pairs of path and H×W×3 uint8 RGB.

    Raises:
        ImageError: no image can be read.
    """
    from .image import read_image

    count = 0
    for file in files:
        if count == limit:
            return
        try:
            image = read_image(file)
        except ImageError as error:
            skip(file, error)
            continue
        count += 1
        yield str(file), image
    if not count:
        raise ImageError(f"none of {len(files)} image file(s) can be read")
