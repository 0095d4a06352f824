"""Check of a data set's files before the first click: readability, sizes and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ...engine.errors import DatasetError, ImageError
from ...engine.image_folders import size_problem
from .layouts import Pair
from .truth import read_labels, too_many, values_in


@dataclass(frozen=True)
class Seen:
    """A mask that fits its photograph.

    Attributes:
        pair: pair that the mask belongs to.
        mask: path of the mask's file.
        values: values that occur in the mask, ascending.
        digests: hashes of the content of the photograph and of the mask.
    """

    pair: Pair
    mask: Path
    values: list[int]
    digests: tuple[str, str]


class Look:
    """Reader of photographs and masks that collects what is wrong with them.

    Args:
        pairs: pairs to read.
        progress: function called with the number of masks read and their total number.

    Attributes:
        total: number of masks.
        unfit: one sentence for each file or pair that does not fit, among those that :meth:`masks` has read.
    """

    def __init__(self, pairs: Sequence[Pair], progress: Callable[[int, int], None] | None = None) -> None:
        self.total = sum(len(pair.masks) for pair in pairs)
        self.unfit: list[str] = []
        self._pairs = pairs
        self._progress = progress

    def masks(self) -> Iterator[Seen]:
        """Yield the masks that fit, in the order of the files; each is read on demand."""
        from ...engine.image import read_image

        done = 0
        for pair in self._pairs:
            size: tuple[int, ...] | None = None
            try:
                size = read_image(pair.photograph).shape[:2]
                digest = digest_of(pair.photograph)
            except (ImageError, DatasetError) as error:
                self.unfit.append(str(error))
            for mask in pair.masks:
                seen = None
                try:
                    labels = read_labels(mask)
                    if size is not None:
                        if problem := size_problem(mask, labels.shape, pair.photograph, size):
                            raise DatasetError(problem)
                        seen = Seen(pair, mask, values_in(labels), (digest, digest_of(mask)))
                except DatasetError as error:
                    self.unfit.append(str(error))
                done += 1
                if self._progress:
                    self._progress(done, self.total)
                if seen is not None:
                    yield seen

    def without_soft(self, masks: Iterable[Seen]) -> Iterator[Seen]:
        """Yield the masks that can be maps of labels; the others are added to :attr:`unfit`."""
        for seen in masks:
            if problem := too_many(seen.mask, seen.values):
                self.unfit.append(problem)
            else:
                yield seen


def digest_of(path: Path) -> str:
    """Hash of a file's content.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from None
