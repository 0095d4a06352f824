"""Finding and reading the images that a command is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import ImageError

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}  # what a folder is searched for


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The image files of these paths: files as they are, a folder's image files in order of name.

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
            found = [f for f in entries if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]
            if not found:
                raise ImageError(f"no image files in {path}; expected names ending in {', '.join(sorted(SUFFIXES))}")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise ImageError(f"no such file or folder: {path}")
    return files


def readable_images(
    files: list[Path], limit: int | None, skip: Callable[[Path, ImageError], None]
) -> Iterator[tuple[str, Any]]:
    """The first ``limit`` images that can be read, one at a time: pairs of path and H×W×3 uint8 RGB.

    Raises:
        ImageError: none can be read.
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
