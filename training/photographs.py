"""Training data: photographs and label maps, decoded once, and the objects in them that a user might mean.

A folder holds ``images/NAME.jpg`` (or .png, .tif, .webp, …) and ``labels/NAME.png`` or any number of
``labels/NAME#K.png``. A label map has a whole number for each pixel, 0 for no object. Photograph and label map have the
same size, after the photograph is turned upright by its EXIF orientation. The part of NAME before its first "_" names
its set.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..engine.errors import DatasetError, ImageError
from ..engine.image import read_image
from ..engine.image_files.label_map import read_label_map
from ..engine.image_folders import by_name, size_problem

SIDE = 480  # pixels; largest longer side, larger photographs are reduced
LABELS = 256
SMALLEST, LARGEST = 0.003, 0.8  # limits for the share of the photograph that an object covers
SINGLE, WHOLE = 0.5, 0.25  # shares of objects of one region, and of all regions that touch; else a few that touch
HELD_OUT = 20  # one photograph in this many is held out, by its name


class Regions(NamedTuple):
    """The regions of one label map. Boxes are (top, left, bottom, right) in pixels, the last two exclusive."""

    labels: NDArray[np.int64]  # (n,)
    areas: NDArray[np.int64]  # (n,)
    boxes: NDArray[np.int64]  # (n, 4)
    touching: NDArray[np.bool_]  # (n, n)
    size: tuple[int, int]


class Target(NamedTuple):
    """An object to click on: its label map, flags of the labels that belong to it (256), and its box."""

    label_map: int
    chosen: NDArray[np.bool_]
    box: tuple[int, int, int, int]


@dataclass
class Photographs:
    """All photographs and label maps of a training folder, in memory on one device.

    Attributes:
        images: RGB images, uint8 (N, 3, 480, 480), each at the top left, its last row and column repeated.
        labels: label maps, uint8 (M, 480, 480), placed in the same way.
        picture: index of each label map's image, (M,).
        regions: regions of each label map.
        sets: name of each label map's set.
        training, held_out: indices of label maps.
    """

    images: torch.Tensor
    labels: torch.Tensor
    picture: NDArray[np.int64]
    regions: list[Regions]
    sets: list[str]
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]

    def chances(self, weights: Mapping[str, float]) -> NDArray[np.float64]:
        """The probability that each training label map is drawn.

        A set's share is proportional to the square root of its number of photographs times its weight in ``weights``.
        Photographs of a set are equally likely, and so are label maps of a photograph.

        Raises:
            DatasetError: a weight belongs to an unknown set, or nothing is left to draw.
        """
        names = np.array(self.sets)[self.training]
        unknown = sorted(set(weights) - set(names))
        if unknown:
            raise DatasetError(f"expected weights for the sets {', '.join(sorted(set(names)))}; got {unknown[0]!r}")
        pictures = self.picture[self.training]
        chances = np.zeros(len(names))
        for name in np.unique(names):
            members = names == name
            _, inverse, counts = np.unique(pictures[members], return_inverse=True, return_counts=True)
            chances[members] = np.sqrt(len(counts)) * weights.get(name, 1.0) / len(counts) / counts[inverse]
        if not chances.sum() > 0:
            raise DatasetError("expected at least one set with a weight above 0; got none")
        found: NDArray[np.float64] = chances / chances.sum()
        return found

    def validation(self, count: int) -> list[Target]:
        """At most ``count`` objects of the held-out photographs, from the sets in turn; the same in every run."""
        rng = np.random.default_rng(0)
        by_set: dict[str, list[int]] = {}
        for index in rng.permutation(self.held_out):
            by_set.setdefault(self.sets[index], []).append(int(index))
        order = [list(maps) for _, maps in sorted(by_set.items())]
        targets: list[Target] = []
        while len(targets) < count and any(order):
            for maps in order:
                if maps and len(targets) < count:
                    targets.append(self.draw(maps.pop(), rng))
        return targets

    def draw(self, label_map: int, rng: np.random.Generator) -> Target:
        """An object of this label map: one region, a few that touch, or all that touch one another."""
        regions = self.regions[label_map]
        pixels = regions.size[0] * regions.size[1]
        # Larger regions, and those inside the picture, are more likely: its border rarely cuts a user's object.
        inside = (regions.boxes[:, :2] > 1).all(1) & (regions.boxes[:, 2:] < np.array(regions.size) - 1).all(1)
        usable = (regions.areas >= SMALLEST * pixels) & (regions.areas <= LARGEST * pixels)
        weights = np.sqrt(regions.areas) * np.where(inside, 1.0, 0.4) * np.where(usable, 1.0, 1e-6)
        seed = int(rng.choice(len(weights), p=weights / weights.sum()))
        member = np.zeros(len(weights), bool)
        member[seed] = True
        kind = rng.random()
        if kind >= SINGLE:
            grown = member.copy()
            for _ in range(LABELS if kind < SINGLE + WHOLE else int(rng.integers(1, 4))):
                border = regions.touching[grown].any(0) & ~grown
                if not border.any():
                    break
                grown[border if kind < SINGLE + WHOLE else rng.choice(np.flatnonzero(border))] = True
            if regions.areas[grown].sum() <= LARGEST * pixels:
                member = grown
        chosen = np.zeros(LABELS, bool)
        chosen[regions.labels[member]] = True
        boxes = regions.boxes[member]
        top, left = boxes[:, :2].min(0).tolist()
        bottom, right = boxes[:, 2:].max(0).tolist()
        return Target(label_map, chosen, (top, left, bottom, right))


def load(folder: Path, device: str = "cpu", threads: int | None = None) -> Photographs:
    """Read a training folder.

    Args:
        folder: training folder, as this module's docstring describes it.
        device: device that keeps images and label maps: 0.7 MB and 0.2 MB each.
        threads: number of threads that decode; None: PyTorch's number.

    Raises:
        DatasetError: the folder holds no photographs with label maps, or some cannot be read or differ in size; the
            message names all of them.
    """
    try:
        labels, files = by_name(folder / "labels"), by_name(folder / "images")
    except OSError:
        labels, files = {}, {}
    stems = [name.split("#")[0] for name in labels]
    names = sorted(set(stems))
    if not names:
        raise DatasetError(f"{folder}: expected images/NAME.jpg and labels/NAME.png or labels/NAME#K.png; found none")
    problems: list[str] = []
    with ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
        pictures = dict(zip(names, pool.map(lambda name: _read(_image, files.get(name), problems), names), strict=True))
        found = list(pool.map(lambda path: _read(_labels, path, problems), labels.values()))
    for (name, path), stem, map_ in zip(labels.items(), stems, found, strict=True):
        picture = pictures[stem]
        if stem not in files:
            problems.append(f"{path}: expected a photograph images/{stem}.jpg (or .png, .tif, …) for label map {name}")
        elif picture and map_ and (problem := size_problem(path, map_.size, files[stem], picture.size)):
            problems.append(problem)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in sorted(problems))
        raise DatasetError(
            f"{folder}: {len(problems)} photograph(s) or label map(s) do not fit; mend them, or take them away:{lines}"
        )
    images = torch.from_numpy(np.stack([picture.pixels for picture in pictures.values() if picture]))
    maps = [map_.pixels for map_ in found if map_]
    regions = [map_.regions for map_ in found if map_ and map_.regions]
    if device != "cpu":
        images = images.to(device)
    numbers = {name: number for number, name in enumerate(names)}
    # A hash of the name decides, so a photograph stays held out when others are added.
    held = np.array([zlib.crc32(os.fsencode(stem)) % HELD_OUT == 0 for stem in stems])
    usable = np.array([len(found.labels) > 0 for found in regions])
    if usable.any() and not (usable & ~held).any():
        raise DatasetError(
            f"{folder}: all {usable.sum()} label map(s) with an object in them are held out, since one photograph in "
            f"{HELD_OUT} is, by a hash of its name; add photographs, or name one differently"
        )
    if not usable.any():
        raise DatasetError(f"{folder}: expected label maps with an object in them; all {len(labels)} are empty")
    return Photographs(
        images.permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack(maps)).to(device),
        np.array([numbers[stem] for stem in stems]),
        regions,
        [stem.split("_")[0] for stem in stems],
        np.flatnonzero(usable & ~held),
        np.flatnonzero(usable & held),
    )


class _Read(NamedTuple):
    """A decoded file, as it is kept in memory.

    Attributes:
        pixels: pixels, placed in a square.
        size: (H, W) in pixels of the file, upright.
        regions: regions of a label map.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, ...]
    regions: Regions | None = None


def _read(read: Callable[[Path], _Read], path: Path | None, problems: list[str]) -> _Read | None:
    """The decoded file; None after a failure, which adds a sentence to ``problems``."""
    try:
        return read(path) if path else None
    except (DatasetError, ImageError) as error:
        problems.append(str(error))
        return None


def _image(path: Path) -> _Read:
    image = read_image(path)
    return _Read(_placed(_reduced(image, cv2.INTER_AREA)), image.shape[:2])


def _labels(path: Path) -> _Read:
    found = read_label_map(path)
    if found.max() >= LABELS:
        # Labels by rank: beyond 255 regions some share a label, e.g. with 370 cells in one photograph.
        _, ranks = np.unique(np.append(found.ravel(), 0), return_inverse=True)
        ranks = np.where(ranks > 0, (ranks - 1) % (LABELS - 1) + 1, 0)
        found = ranks[:-1].reshape(found.shape)
    labels: NDArray[np.uint8] = _reduced(found.astype(np.uint8), cv2.INTER_NEAREST)
    return _Read(_placed(labels), found.shape, _regions(labels))


def _regions(labels: NDArray[np.uint8]) -> Regions:
    height, width = labels.shape
    areas = np.bincount(labels.ravel(), minlength=LABELS)
    areas[0] = 0
    found = np.flatnonzero(areas)
    spans = []
    for axis, length in ((0, height), (1, width)):
        there = np.zeros((LABELS, length), bool)
        there[labels, np.arange(length)[:, None] if axis == 0 else np.arange(length)] = True
        there = there[found]
        spans.append((there.argmax(1), length - there[:, ::-1].argmax(1)))
    touching = np.zeros((LABELS, LABELS), bool)
    touching[labels[1:], labels[:-1]] = True
    touching[labels[:, 1:], labels[:, :-1]] = True
    touching |= touching.T
    boxes = np.stack([spans[0][0], spans[1][0], spans[0][1], spans[1][1]], 1)
    return Regions(found, areas[found], boxes, touching[np.ix_(found, found)], (height, width))


def _reduced(picture: Any, interpolation: int) -> Any:
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(picture, size, interpolation=interpolation)


def _placed(picture: Any) -> Any:
    """The picture at the top left of a square; its border is repeated, so that crops do not darken at its edge."""
    height, width = picture.shape[:2]
    return cv2.copyMakeBorder(picture, 0, SIDE - height, 0, SIDE - width, cv2.BORDER_REPLICATE)


def boxes_of(targets: Sequence[Target]) -> NDArray[np.float64]:
    """The targets' boxes (top, left, bottom, right) in pixels, (n, 4)."""
    return np.array([target.box for target in targets], np.float64).reshape(-1, 4)
