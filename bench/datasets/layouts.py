"""Folder layouts of data sets: where photographs and masks are stored."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...engine.errors import DatasetError, OptionError
from ...engine.image_folders import SUFFIXES, by_name, is_image
from .truth import MaskRule

MOST_NAMED = 100  # files that a note lists at most
RESOLUTION = "480p"  # resolution of the original DAVIS that evaluations use
BELONGS = re.compile(r"(.+)[_#-](?:(\d+)|mask|gt)")  # a mask's name: the photograph's name and a suffix


@dataclass(frozen=True)
class Pair:
    """A photograph and its masks, in order.

    Attributes:
        name: name of the photograph, unique in its data set.
    """

    name: str
    photograph: Path
    masks: tuple[Path, ...]


Found = tuple[list[Pair], tuple[str, ...]]  # pairs, and notes on what was left out


def _folders(images: Path, masks: Path, split: str | None) -> Found:
    """Pairs from a folder of photographs and a folder of masks; :data:`BELONGS` matches their names."""
    if split is not None:
        raise OptionError(
            f"--split is for SBD and the original DAVIS, which have lists of photographs; {images} has none"
        )
    photographs = _by_name(images)
    masks_of: dict[str, list[tuple[int, Path]]] = {}
    strangers = []
    for name, file in _by_name(masks).items():
        added = BELONGS.fullmatch(name)
        if name in photographs:
            masks_of.setdefault(name, []).append((-1, file))
        elif added and added[1] in photographs:
            masks_of.setdefault(added[1], []).append((int(added[2] or -1), file))
        else:
            strangers.append(file.name)
    pairs = [
        Pair(name, file, tuple(mask for _, mask in sorted(masks_of[name])))
        for name, file in photographs.items()
        if name in masks_of
    ]
    if not pairs:
        raise DatasetError(
            f"no mask in {masks} belongs to a photograph in {images}; expected the photographs' names, for example "
            f"{next(iter(photographs))}.png"
        )
    bare = [name for name in photographs if name not in masks_of]
    inner = [f"{f.name}/" for f in sorted(images.iterdir()) if f.is_dir() and any(map(is_image, f.iterdir()))]
    return pairs, (
        *_note("photograph(s) without a mask", bare),
        *_note("mask(s) without a photograph", strangers),
        *_note(f"folder(s) of photographs inside {images.name}/", inner),
    )


def _videos(images: Path, masks: Path, split: str | None) -> Found:
    """Pairs of the original DAVIS: one folder per video; frames without annotation are not evaluated."""
    listed = _split_videos(images.parent, split)
    if all((folder / RESOLUTION).is_dir() for folder in (images, masks)):
        images, masks = images / RESOLUTION, masks / RESOLUTION
    pairs = []
    for folder in sorted(folder for folder in images.iterdir() if folder.is_dir()):
        if listed is not None and folder.name not in listed:
            continue
        for frame in _listing(folder):
            mask = masks / folder.name / f"{frame.stem}.png"
            if mask.is_file():
                pairs.append(Pair(f"{folder.name}/{frame.stem}", frame, (mask,)))
    if not pairs:
        raise DatasetError(f"no video in {images} has annotations in {masks}; expected VIDEO/00000.jpg and .png")
    missing = sorted((listed or set()) - {pair.name.split("/")[0] for pair in pairs})
    return pairs, _note(f"video(s) of {split} without annotated frames", missing)


def _split_videos(root: Path, split: str | None) -> set[str] | None:
    if split is None:
        return None
    lines = _lines(root / "ImageSets", split)
    # Lists of 2017 name videos; those of 2016 pairs of files:
    # /JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png
    return {PurePosixPath(line.split()[0]).parent.name if "/" in line else line for line in lines}


def _sbd(images: Path, masks: Path, split: str | None) -> Found:
    """Pairs of SBD: a split's list next to the folders has names without extension."""
    names = _lines(images.parent, split or "val")
    pairs = [Pair(name, images / f"{name}.jpg", (masks / f"{name}.mat",)) for name in dict.fromkeys(names)]
    missing = [str(file) for pair in pairs for file in (pair.photograph, *pair.masks) if not file.is_file()]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise DatasetError(f"no such file: {', '.join(missing)}; {split or 'val'}.txt of SBD names {them}")
    return pairs, ()


@dataclass(frozen=True)
class Layout:
    """Folder layout of a data set.

    Attributes:
        name: name in the table of :mod:`mfp.bench.datasets`.
        images, masks: folders, relative to the data set's.
        rule: rule by which masks are read.
        find: function that lists the pairs in these folders.
    """

    name: str
    images: str
    masks: str
    rule: MaskRule
    find: Callable[[Path, Path, str | None], Found]

    def called(self, root: Path) -> str:
        """Name of the data set in ``root``. Other data sets use DAVIS' layout too, so the folder's name decides."""
        if self.name == FOLDERS.name or (self is DAVIS and "davis" not in _own_name(root).lower()):
            return _own_name(root)
        return self.name


FOLDERS = Layout("folders", "images", "masks", MaskRule(), _folders)
BERKELEY = Layout("Berkeley", "images", "masks", MaskRule("trimap"), _folders)
DAVIS = Layout("DAVIS", "img", "gt", MaskRule("any"), _folders)
LAYOUTS = (
    Layout("SBD", "img", "inst", MaskRule("labels", None), _sbd),
    Layout("DAVIS (original)", "JPEGImages", "Annotations", MaskRule(), _videos),
    Layout("GrabCut", "data_GT", "boundary_GT", MaskRule("trimap"), _folders),
    DAVIS,
    FOLDERS,
)


def find_pairs(
    root: Path, images: Path | None, masks: Path | None, split: str | None
) -> tuple[Layout, list[Pair], MaskRule, tuple[str, ...]]:
    """Find the layout of the data set in ``root``, its photographs with their masks, and notes on what was left out.

    Raises:
        DatasetError: the layout is unknown, or files are missing.
    """
    if not root.is_dir():
        raise DatasetError(f"{'expected a folder' if root.exists() else 'no such folder'}: {root}")
    if (images is None) != (masks is None):
        raise OptionError("expected the folders of both photographs and masks: --images FOLDER --masks FOLDER")
    if images is not None and masks is not None:
        layout, folders = FOLDERS, (root / images, root / masks)
        for folder in folders:
            if not folder.is_dir():
                raise DatasetError(f"no such folder: {folder}")
    else:
        layout = _recognised(root)
        folders = root / layout.images, root / layout.masks
    try:
        pairs, notes = layout.find(*folders, split)
    except OSError as error:
        raise DatasetError(f"cannot list {error.filename}: {error.strerror}; expected a readable folder") from None
    return layout, pairs, layout.rule, notes


def _recognised(root: Path) -> Layout:
    for layout in LAYOUTS:
        if (root / layout.images).is_dir() and (root / layout.masks).is_dir():
            return BERKELEY if layout is FOLDERS and "berkeley" in _own_name(root).lower() else layout
    inside = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    known = "; ".join(f"{layout.images} and {layout.masks} ({layout.name})" for layout in LAYOUTS)
    raise DatasetError(
        f"{root} has none of the layouts that are known: {known}. It holds the folders: "
        f"{listed(inside, 8) or 'none'}. Name them: --images FOLDER --masks FOLDER"
    )


def _by_name(folder: Path) -> dict[str, Path]:
    """Image files of a folder by their names without extension."""
    return by_name(folder) if _listing(folder) else {}


def _listing(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by name."""
    files = sorted(f for f in folder.iterdir() if is_image(f))
    if not files:
        raise DatasetError(f"no image files in {folder}; expected names ending in {', '.join(sorted(SUFFIXES))}")
    return files


def _lines(folder: Path, split: str) -> list[str]:
    """Non-empty lines of the list ``split``.txt in ``folder`` or one of its subfolders."""
    path = folder / f"{split}.txt"
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        lists = sorted(
            file.relative_to(folder).with_suffix("").as_posix()
            for file in [*folder.glob("*.txt"), *folder.glob("*/*.txt")]
        )
        hint = f"; --split can be: {listed(lists, 12)}" if lists else ""
        raise DatasetError(f"cannot read the list {path} ({getattr(error, 'strerror', error)}){hint}") from None
    lines = [line for line in lines if line]
    if not lines:
        raise DatasetError(f"the list {path} is empty")
    return lines


def listed(names: list[str], most: int = 5) -> str:
    """Join the first ``most`` names for display."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _note(what: str, names: list[str]) -> tuple[str, ...]:
    return (f"left out: {len(names)} {what}: {listed(names, MOST_NAMED)}",) if names else ()


def _own_name(root: Path) -> str:
    return root.resolve().name or "data set"
