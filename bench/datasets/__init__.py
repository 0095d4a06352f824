"""Data sets for evaluation: photographs and, for each object on them, the truth.

=================  ===========================  =============================================================
name               folders                      masks
=================  ===========================  =============================================================
GrabCut            data_GT, boundary_GT         one a photograph: 0 background, 128 ignore, more than 128 object
Berkeley           images, masks                the same; the data set's folder is called Berkeley
DAVIS              img, gt                      one a photograph: whatever is not 0 is object (345 frames)
DAVIS (original)   JPEGImages, Annotations      a folder a video; several objects by value, 255 ignore
SBD                img, inst                    .mat; several objects by value; ``val.txt`` names the photographs
any other          images, masks, or as named   by rule, see :class:`~mfp.bench.datasets.truth.MaskRule`
=================  ===========================  =============================================================

A mask belongs to the photograph of its name, or of its name without a last ``_2``, ``#2``, ``-2``, ``_mask`` or
``_gt``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.errors import DatasetError, OptionError
from ...engine.image_folders import size_problem
from .layouts import MOST_NAMED, Pair, find_pairs, listed
from .look import Look, Seen, digest_of
from .truth import AUTO, MaskRule, read_labels, settle_rule, truth_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Dataset", "MaskRule", "Target", "open_dataset"]


@dataclass(frozen=True)
class Target:
    """One object to be clicked on.

    Attributes:
        name: unique in its data set.
        image: name of the photograph.
        photograph, mask: files.
        label: value of the object in the mask's map; None where a mask holds one object.
        rule: how the mask is read.
        fingerprint: a hash of the content of both files, label and rule: while it stays, results stay good. "" where
            the files were not looked at.
    """

    name: str
    image: str
    photograph: Path
    mask: Path
    label: int | None
    rule: MaskRule
    fingerprint: str = ""

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """The photograph, uint8 H×W×3 RGB, and the truth, int8 H×W of 1 object, 0 background, −1 ignore.

        Raises:
            ImageError: the photograph cannot be read.
            DatasetError: the mask cannot, it has another size, or a file is not the one that was looked at.
        """
        from ...engine.image import read_image

        photograph = read_image(self.photograph)
        truth = truth_of(read_labels(self.mask), self.rule, self.label)
        if problem := size_problem(self.mask, truth.shape, self.photograph, photograph.shape[:2]):
            raise DatasetError(problem)
        if self.fingerprint and self.fingerprint != self.settled(digest_of(self.photograph), digest_of(self.mask)):
            raise DatasetError(
                f"{self.photograph} or {self.mask} is not the file that it was at first: start again, which keeps the "
                "results of the others"
            )
        return photograph, truth

    def settled(self, photograph: str, mask: str) -> str:
        """The fingerprint, from the hashes of both files."""
        return sha256(f"{photograph} {mask} {self.label} {self.rule.kind} {self.rule.ignored}".encode()).hexdigest()[
            :32
        ]


@dataclass(frozen=True)
class Dataset:
    """A data set whose files are found, and not read yet.

    Attributes:
        name: what tables call it.
        layout: of the table above, or ``"folders"``.
        pairs: photographs with their masks, in order.
        rule: how masks are read.
        notes: sentences about what was left out.
    """

    name: str
    layout: str
    pairs: tuple[Pair, ...]
    rule: MaskRule
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of the names and sizes of all files, which tells data sets apart wherever they lie."""
        digest = sha256()
        for pair in self.pairs:
            files = [f"{file.name} {file.stat().st_size}" for file in (pair.photograph, *pair.masks)]
            digest.update("\t".join([pair.name, *files, ""]).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def targets(
        self,
        limit: int | None = None,
        every: int = 1,
        progress: Callable[[int, int], None] | None = None,
        skip_unfit: bool = False,
    ) -> tuple[Dataset, list[Target]]:
        """The objects, in the order of the files; reads all photographs and masks that it needs.

        Args:
            limit: take the first objects alone.
            every: take every n-th photograph alone, the first among them.
            progress: called with the number of masks read and of all there are.
            skip_unfit: leave out photographs and masks that do not fit, and say so in the notes.

        Returns:
            This data set, its rule settled and with notes on what the files showed, and at least one object.

        Raises:
            OptionError: an option is out of its range.
            DatasetError: photographs or masks do not fit (names all of them), or there is no object at all.
        """
        if limit is not None and limit < 1:
            raise OptionError(f"expected a limit of at least 1 object, got {limit}")
        if every < 1:
            raise OptionError(f"expected every n-th photograph with n from 1, got {every}")
        look = Look(self.pairs[::every], progress)
        found: Iterator[Seen] = look.masks()
        rule = self.rule
        if rule.kind == AUTO:  # one rule for all: a mask alone may look like another kind
            seen = list(found)
            rule = settle_rule(rule, [mask.values for mask in seen])
            found = look.without_soft(seen) if rule.kind == "labels" else iter(seen)
        empty: list[str] = []
        void: list[str] = []
        targets = list(islice(_targets(found, rule, empty, void), limit))
        notes = self.notes
        if empty:
            notes += (f"{len(empty)} mask(s) without a pixel of object are left out: {listed(empty, MOST_NAMED)}",)
        if void:
            notes += (
                f"{len(void)} of them hold {rule.ignored} alone, which is ignored where masks are read as {rule}: "
                f"{listed(void, MOST_NAMED)}. Say how to read all of them: --mask-values any, or --ignore none",
            )
        if look.unfit and not skip_unfit:
            count = f"{len(look.unfit)} photograph(s) or mask(s) of {self.name} do not fit"
            lines = "".join(f"\n  {problem}" for problem in look.unfit) + "".join(f"\n  {note}" for note in notes)
            raise DatasetError(f"{count}: mend them, or go on without them with --skip-unfit{lines}")
        if not targets:
            rest = "".join(f"\n  {problem}" for problem in look.unfit)
            raise DatasetError(f"{self.name}: none of {look.total} mask(s) has a pixel of object, read as {rule}{rest}")
        if look.unfit:
            notes += (f"left out: {len(look.unfit)} photograph(s) or mask(s) that do not fit: {'; '.join(look.unfit)}",)
        return replace(self, rule=rule, notes=notes), targets


def _targets(found: Iterable[Seen], rule: MaskRule, empty: list[str], void: list[str]) -> Iterator[Target]:
    for seen in found:
        pair, labels = seen.pair, rule.labels(seen.values)
        name = pair.name if len(pair.masks) == 1 else seen.mask.stem
        if not labels:
            empty.append(name)
            if rule.ignored in seen.values:
                void.append(name)
        for label in labels:
            own = name if label is None else f"{name}#{label}"
            target = Target(own, pair.name, pair.photograph, seen.mask, label, rule)
            yield replace(target, fingerprint=target.settled(*seen.digests))


def open_dataset(
    root: Path,
    images: Path | None = None,
    masks: Path | None = None,
    mask_values: str = AUTO,
    ignore: int | str | None = AUTO,
    split: str | None = None,
    name: str | None = None,
) -> Dataset:
    """Find the files of a data set.

    Args:
        root: its folder, in one of the layouts above.
        images, masks: its folders of photographs and of masks, seen from ``root``, where it has another layout.
        mask_values: ``"trimap"``, ``"labels"`` or ``"any"`` (see :class:`~mfp.bench.datasets.truth.MaskRule`), or
            ``"auto"``: what the layout says, or else the masks show.
        ignore: the value of pixels that count for nothing; ``"auto"``: as the rule has it; None: there are none.
        split: name of the list of photographs: of SBD ``"val"`` where not given, of the original DAVIS the file under
            ``ImageSets`` (``"2017/val"``), all videos where not given.
        name: what to call it; published figures are shown for GrabCut, Berkeley, DAVIS and SBD.

    Raises:
        DatasetError: no layout that is known, or files are missing.
        OptionError: a rule or split that does not fit.
    """
    layout, pairs, rule, notes = find_pairs(root, images, masks, split)
    return Dataset(name or layout.called(root), layout.name, tuple(pairs), rule.changed(mask_values, ignore), notes)
