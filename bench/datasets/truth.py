"""Ground truth of one object, read from a mask file."""

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
TRIMAP_IGNORE, VOID = 128, 255  # values in GrabCut and in Pascal VOC
MAX_OBJECTS = 64  # a mask with more values is probably a soft mask; checked only for "auto"


@dataclass(frozen=True)
class MaskRule:
    """Rule that maps the values of a mask to objects.

    Attributes:
        kind: ``"trimap"``: one object, above 128 (the release's rule for GrabCut and Berkeley). ``"labels"``: each
            value but 0 is a separate object. ``"any"``: one object, all values but 0 (the release's rule for DAVIS).
            ``"auto"``: trimap where all masks together hold only 0, 128 and 255, and 255 occurs; else labels.
        ignore: value of pixels that are not evaluated; None: there are none; ``"auto"``: 128 in a trimap, 255 in
            labels.
    """

    kind: str = AUTO
    ignore: int | str | None = AUTO

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise OptionError(f"expected mask values {', '.join(KINDS)}; got {self.kind!r}")
        if self.ignore not in (AUTO, None) and not (isinstance(self.ignore, int) and 0 < self.ignore < 2**31):
            raise OptionError(f"expected a value from 1 to ignore, auto or none; got {self.ignore!r}")

    def changed(self, kind: str, ignore: int | str | None) -> MaskRule:
        """This rule with the given values; ``"auto"`` keeps this rule's value. A new kind resets ``ignore`` to auto."""
        rule = self if kind in (AUTO, self.kind) else MaskRule(kind)
        return rule if ignore == AUTO else replace(rule, ignore=ignore)

    @property
    def ignored(self) -> int | None:
        """Value of pixels that are not evaluated, with "auto" resolved; None where there is none."""
        if isinstance(self.ignore, str):
            return {"trimap": TRIMAP_IGNORE, "labels": VOID}.get(self.kind)
        return self.ignore

    def labels(self, values: Sequence[int]) -> list[int | None]:
        """Objects of a mask with these values: its labels, one None for a mask of one object, or an empty list."""
        objects = [value for value in values if value != self.ignored]
        if self.kind == "labels":
            return [value for value in objects if value != 0]
        return [None] if any(value > (TRIMAP_IGNORE if self.kind == "trimap" else 0) for value in objects) else []

    def __str__(self) -> str:
        words = {"trimap": "one object above 128", "labels": "an object a value", "any": "one object wherever not 0"}
        ignored = "nothing ignored" if self.ignored is None else f"{self.ignored} ignored"
        return f"{words.get(self.kind, self.kind)}, {ignored}"


def settle_rule(rule: MaskRule, masks: Iterable[Sequence[int]]) -> MaskRule:
    """Resolve a rule's "auto" from the values of each mask."""
    union = {value for values in masks for value in values}
    if VOID in union and union <= {0, TRIMAP_IGNORE, VOID}:
        return replace(rule, kind="trimap")
    return replace(rule, kind="labels")


def too_many(path: Path, values: Sequence[int]) -> str:
    """Reason why a mask with these values is probably no map of labels; "" where it can be one."""
    if len(values) <= MAX_OBJECTS:
        return ""
    return (
        f"{path} holds {len(values)} values: expected a trimap (0, 128, 255) or a map of at most {MAX_OBJECTS} "
        "objects. Say how to read it: --mask-values trimap (one object above 128), any (one object wherever "
        "not 0) or labels"
    )


def truth_of(labels: Labels, rule: MaskRule, label: int | None) -> NDArray[np.int8]:
    """Truth of one object, int8 H×W: 1 object, 0 background, −1 ignore. Other objects are background.

    Args:
        labels: values of a mask, H×W.
        rule: resolved rule, without "auto".
        label: value of the object under ``"labels"``.
    """
    above = TRIMAP_IGNORE if rule.kind == "trimap" else 0
    inside = labels == label if rule.kind == "labels" else labels > above
    truth = inside.astype(np.int8)
    if rule.ignored is not None:
        truth[labels == rule.ignored] = -1
    return truth


def values_in(labels: Labels) -> list[int]:
    """Values that occur, ascending."""
    found = np.flatnonzero(np.bincount(labels.ravel())) if labels.dtype.itemsize < 4 else np.unique(labels)
    values: list[int] = found.tolist()
    return values


def read_labels(path: Path) -> Labels:
    """Read a mask file: H×W, integers from 0; see :func:`~mfp.engine.image_files.label_map.read_label_map`.

    From ``.mat`` files, which are SBD's, it reads ``GTinst.Segmentation``.

    Raises:
        DatasetError: the file cannot be read as a mask.
        RuntimeMissingError: scipy, which reads ``.mat`` files, is not installed.
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
    except Exception as error:  # scipy has no specific exception for a damaged file
        raise DatasetError(f"{path} is no file of SBD: expected GTinst.Segmentation in it ({error})") from None
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or not labels.size or labels.min() < 0:
        raise DatasetError(f"{path}: expected whole numbers from 0, H×W, got {labels.dtype} {labels.shape}")
    return labels
