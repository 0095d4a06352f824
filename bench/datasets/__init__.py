"""Data sets for evaluation: photographs and the ground truth of each object on them.

=================  ===========================  =============================================================
name               folders                      masks
=================  ===========================  =============================================================
GrabCut            data_GT, boundary_GT         one per photograph: 0 background, 128 ignore, above 128 object
Berkeley           images, masks                the same; the data set's folder is called Berkeley
DAVIS              img, gt                      one per photograph: all values but 0 are object (345 frames)
DAVIS (original)   JPEGImages, Annotations      one folder per video; several objects by value, 255 ignore
SBD                img, inst                    .mat; several objects by value; ``val.txt`` names the photographs
any other          images, masks, or as given   by rule, see :class:`~mfp.bench.datasets.truth.MaskRule`
=================  ===========================  =============================================================

A mask belongs to the photograph of the same name, where a suffix ``_2``, ``#2``, ``-2``, ``_mask`` or ``_gt`` of the
mask's name may be left out.
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
        name: name of the object, unique in its data set.
        image: name of the photograph.
        photograph, mask: paths of the files.
        label: value of the object in the mask's map; None where a mask holds one object.
        rule: rule by which the mask is read.
        fingerprint: hash of the content of both files, label and rule; results stay valid while it is unchanged. ""
            where the files were not read.
    """

    name: str
    image: str
    photograph: Path
    mask: Path
    label: int | None
    rule: MaskRule
    fingerprint: str = ""

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """Read the photograph, uint8 H×W×3 RGB, and the truth, int8 H×W: 1 object, 0 background, −1 ignore.

        Raises:
            ImageError: the photograph cannot be read.
            DatasetError: the mask cannot be read, it has another size, or a file has changed since the fingerprint.
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
        """Fingerprint computed from the hashes of both files."""
        return sha256(f"{photograph} {mask} {self.label} {self.rule.kind} {self.rule.ignored}".encode()).hexdigest()[
            :32
        ]


@dataclass(frozen=True)
class Dataset:
    """A data set whose files are found but not read yet.

    Attributes:
        name: name in tables.
        layout: a name in this module's table, or ``"folders"``.
        pairs: photographs with their masks, in order.
        rule: rule by which masks are read.
        notes: sentences about what was left out.
    """

    name: str
    layout: str
    pairs: tuple[Pair, ...]
    rule: MaskRule
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Hash of the names and sizes of all files; identifies a data set independently of its location."""
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
        """List the objects in the order of the files; reads all photographs and masks needed for that.

        Args:
            limit: number of objects to take, from the first; None: all.
            every: step through the photographs: only every n-th one is used, beginning with the first.
            progress: function called with the number of masks read and their total number.
            skip_unfit: whether to leave out photographs and masks that do not match, and list them in the notes.

        Returns:
            This data set with its rule resolved and notes on its files added, and at least one object.

        Raises:
            OptionError: an option is out of its range.
            DatasetError: photographs and masks do not match (the message names all of them), or there is no object.
        """
        if limit is not None and limit < 1:
            raise OptionError(f"expected a limit of at least 1 object, got {limit}")
        if every < 1:
            raise OptionError(f"expected every n-th photograph with n from 1, got {every}")
        look = Look(self.pairs[::every], progress)
        found: Iterator[Seen] = look.masks()
        rule = self.rule
        if rule.kind == AUTO:  # one rule for all masks: a single mask may look like another kind
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
        root: folder of the data set, in one of the layouts of this module's table.
        images, masks: folders of photographs and of masks relative to ``root``, for any other layout.
        mask_values: ``"trimap"``, ``"labels"`` or ``"any"`` (see :class:`~mfp.bench.datasets.truth.MaskRule`), or
            ``"auto"``: given by the layout, or else found from the masks.
        ignore: value of pixels that are not evaluated; ``"auto"``: the rule's value; None: there are none.
        split: name of the list of photographs. For SBD the default is ``"val"``; for the original DAVIS it is a file
            under ``ImageSets`` (``"2017/val"``) and the default is all videos.
        name: name of the data set; published results are shown for GrabCut, Berkeley, DAVIS and SBD.

    Raises:
        DatasetError: the layout is unknown, or files are missing.
        OptionError: the rule or split does not fit the data set.
    """
    layout, pairs, rule, notes = find_pairs(root, images, masks, split)
    return Dataset(name or layout.called(root), layout.name, tuple(pairs), rule.changed(mask_values, ignore), notes)
