"""From a mask file to the truth of one object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import DatasetError, OptionError, RuntimeMissingError
from ...engine.image_files.label_map import Labels, read_label_map

AUTO = "auto"
KINDS = (AUTO, "trimap", "labels", "any")
TRIMAP_IGNORE, VOID = 128, 255  # as GrabCut and as Pascal VOC have them
MAX_OBJECTS = 64  # a mask with more values than that is rather a soft one; only "auto" asks


@dataclass(frozen=True)
class MaskRule:
    """How the values of a mask are read.

    Attributes:
        kind: ``"trimap"``: one object, above 128 (the rule of the release for GrabCut and Berkeley). ``"labels"``: each
            value but 0 is an object of its own. ``"any"``: one object, whatever is not 0 (the rule of the release for
            DAVIS). ``"auto"``: trimap where all masks together hold nothing but 0, 128 and 255, and 255 among them;
            else labels.
        ignore: value of pixels that count for nothing, None for none, ``"auto"``: 128 of a trimap, 255 of labels.
    """

    kind: str = AUTO
    ignore: int | str | None = AUTO

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"expected mask values {', '.join(KINDS)}; got {self.kind!r}")
        if self.ignore not in (AUTO, None) and not (isinstance(self.ignore, int) and 0 < self.ignore < 2**31):
            raise OptionError(f"expected a value from 1 to ignore, auto or none; got {self.ignore!r}")

    def changed(self, kind: str, ignore: int | str | None) -> MaskRule:
        """This rule, but for what is given: ``"auto"`` changes nothing."""
        rule = self if kind in (AUTO, self.kind) else MaskRule(kind)
        return rule if ignore == AUTO else replace(rule, ignore=ignore)

    @property
    def ignored(self) -> int | None:
        """The value that counts for nothing, settled."""
        if isinstance(self.ignore, str):
            return {"trimap": TRIMAP_IGNORE, "labels": VOID}.get(self.kind)
        return self.ignore

    def labels(self, values: Sequence[int]) -> list[int | None]:
        """The objects of a mask that holds these values: labels, or one None for a mask of one object, or nothing."""
        objects = [value for value in values if value != self.ignored]
        if self.kind == "labels":
            return [value for value in objects if value != 0]
        return [None] if any(value > (TRIMAP_IGNORE if self.kind == "trimap" else 0) for value in objects) else []

    def __str__(self) -> str:
        words = {"trimap": "one object above 128", "labels": "an object a value", "any": "one object wherever not 0"}
        ignored = "nothing ignored" if self.ignored is None else f"{self.ignored} ignored"
        return f"{words.get(self.kind, self.kind)}, {ignored}"


def settle_rule(rule: MaskRule, masks: Iterable[Sequence[int]]) -> MaskRule:
    """The rule that "auto" stands for, from each mask's values."""
    union = {value for values in masks for value in values}
    if VOID in union and union <= {0, TRIMAP_IGNORE, VOID}:
        return replace(rule, kind="trimap")
    return replace(rule, kind="labels")


def too_many(path: Path, values: Sequence[int]) -> str:
    """Why a mask of these values is no map of labels, to the eye; "" where it can be one."""
    if len(values) <= MAX_OBJECTS:
        return ""
    return (
        f"{path} holds {len(values)} values: expected a trimap (0, 128, 255) or a map of at most {MAX_OBJECTS} "
        "objects. Say how to read it: --mask-values trimap (one object above 128), any (one object wherever "
        "not 0) or labels"
    )


def truth_of(labels: Labels, rule: MaskRule, label: int | None) -> NDArray[np.int8]:
    """Truth of one object: int8 H×W of 1 object, 0 background, −1 ignore. Other objects are background.

    Args:
        labels: a mask's values, H×W.
        rule: settled.
        label: the object's value under ``"labels"``.
    """
    above = TRIMAP_IGNORE if rule.kind == "trimap" else 0
    inside = labels == label if rule.kind == "labels" else labels > above
    truth = inside.astype(np.int8)
    if rule.ignored is not None:
        truth[labels == rule.ignored] = -1
    return truth


def values_in(labels: Labels) -> list[int]:
    """The values that occur, ascending."""
    found = np.flatnonzero(np.bincount(labels.ravel())) if labels.dtype.itemsize < 4 else np.unique(labels)
    values: list[int] = found.tolist()
    return values


def read_labels(path: Path) -> Labels:
    """A mask file's values, H×W, whole numbers from 0: see :func:`~mfp.engine.image_files.label_map.read_label_map`.

    ``.mat`` files are SBD's: their ``GTinst.Segmentation``.

    Raises:
        DatasetError: it cannot be read as such.
        RuntimeMissingError: a ``.mat`` file without scipy.
    """
    return _read_sbd(path) if path.suffix.lower() == ".mat" else read_label_map(path)


def _read_sbd(path: Path) -> Labels:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise RuntimeMissingError("SBD's .mat files need scipy: pip install scipy") from None
    try:
        labels: Labels = loadmat(str(path), variable_names=["GTinst"])["GTinst"]["Segmentation"][0, 0]
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # scipy has no exception of its own for a damaged file
        raise DatasetError(f"{path} is no file of SBD: expected GTinst.Segmentation in it ({error})") from None
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or not labels.size or labels.min() < 0:
        raise DatasetError(f"{path}: expected whole numbers from 0, H×W, got {labels.dtype} {labels.shape}")
    return labels
