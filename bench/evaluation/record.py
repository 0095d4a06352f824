"""Output files of an evaluation: a journal from which it can resume, and a record of its results.

The journal, ``eval.jsonl``, holds the settings in its first line, then one line per object, written as soon as the
object is done. The same evaluation, started again in the same folder, takes finished objects from it. The record,
``eval.json``, holds settings, machine, summary, and each object with its clicks, IoUs and times.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import DatasetError, ImageError, OptionError
from ...engine.network import Network
from ..datasets import Dataset
from .protocol import THRESHOLDS, NoC, area_under_curve, mean_iou_curve, noc
from .run import Conditions, Result

JOURNAL, RECORD = "eval.jsonl", "eval.json"
SCHEMA = 1
# Settings that may change between runs: they are only names, or each result's own fingerprint is more precise.
LABELS = {("dataset", "name"), ("dataset", "photographs"), ("dataset", "fingerprint"), ("network", "file")}

Settings = dict[str, dict[str, Any]]


def settings_of(dataset: Dataset, network: Network, file: Path, conditions: Conditions) -> Settings:
    """Settings that determine the results, as JSON values."""
    info = network.info
    with file.open("rb") as opened:
        digest = hashlib.sha256()
        while block := opened.read(1 << 20):
            digest.update(block)
    return {
        "dataset": {
            "name": dataset.name,
            "layout": dataset.layout,
            "mask_values": dataset.rule.kind,
            "ignore": dataset.rule.ignored,
            "photographs": len(dataset.pairs),
            "fingerprint": dataset.fingerprint,
        },
        "network": {
            "file": file.name,
            "sha256": digest.hexdigest(),
            "backbone": info.backbone,
            "weights": info.weights,
            "precision": info.precision,
            "runtime": network.runtime,
            "device": network.device,
            "trained_n_early": info.n_early,
            "trained_r_max": info.r_max,
        },
        "conditions": conditions.to_json(),
    }


class Journal:
    """Journal of an evaluation: finished objects, written to disk one by one.

    Args:
        folder: folder of the journal, created if missing.
        settings: settings from :func:`settings_of`.
        restart: whether to discard an existing journal.
        fingerprints: current fingerprint of each object by name; results of files that have changed since are left
            out of ``results``. None: all results are used.

    Attributes:
        results: name → result.
        changed: names of the objects whose results are left out.

    Raises:
        OptionError: the existing journal has other settings; or an older version wrote it, which kept no fingerprint
            per object, and files have changed since.
        DatasetError: the journal is damaged.
        ImageError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        restart: bool = False,
        fingerprints: Mapping[str, str] | None = None,
    ) -> None:
        self.path = folder / JOURNAL
        self.settings = settings
        self.results: dict[str, Result] = {}
        self.changed: list[str] = []
        self._fingerprints = fingerprints or {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            written = b"" if restart or not self.path.exists() else self.path.read_bytes()
            whole = written[: written.rfind(b"\n") + 1]  # a truncated last line is ignored
            lines = whole.splitlines()
            if lines:
                self._take(lines)
            with self.path.open("ab") as file:
                file.truncate(len(whole))
            if not lines:
                self._append({"kind": "accuracy journal", "schema": SCHEMA, "settings": settings})
        except OSError as error:
            raise ImageError(f"cannot write to {folder}: {error.strerror}; expected a folder or a new name") from None

    def add(self, result: Result) -> None:
        self._append(result.to_json())
        self.results[result.name] = result

    def _append(self, record: dict[str, Any]) -> None:
        with self.path.open("ab") as file:  # opened for each line, so that nothing stays in a buffer
            file.write((json.dumps(record, allow_nan=False) + "\n").encode())

    def _take(self, lines: list[bytes]) -> None:
        number = 1
        changed_files: dict[str, None] = {}
        try:
            settings = json.loads(lines[0])["settings"]
            changed = differences(settings, self.settings)
            same_files = settings["dataset"].get("fingerprint") == self.settings["dataset"]["fingerprint"]
            for line in lines[1:]:
                number += 1
                result = Result.from_json(json.loads(line))
                now = self._fingerprints.get(result.name)
                if not result.fingerprint and not same_files:  # an older version: any of the files may have changed
                    changed.append("dataset fingerprint of an older version, which did not tell the files apart")
                    break
                if now is not None and result.fingerprint and result.fingerprint != now:
                    changed_files[result.name] = None
                else:
                    self.results[result.name] = result
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"line {number} of {self.path} is damaged ({error}); --restart throws all of it away"
            ) from None
        if changed:
            raise OptionError(
                f"{self.path} was begun with other settings ({'; '.join(changed)}). Go on with those, choose another "
                "--output, or throw it away with --restart"
            )
        self.changed = [name for name in changed_files if name not in self.results]


def differences(old: Settings, new: Settings) -> list[str]:
    """Settings that differ but must not change when an evaluation is resumed: "threshold 0.5 there, 0.49 now"."""
    found = []
    for group, values in new.items():
        for key, value in values.items():
            before = old[group].get(key)
            if before != value and (group, key) not in LABELS:
                name = key.replace("_", " ") if group == "conditions" else f"{group} {key}"
                found.append(f"{name} {_short(before)} there, {_short(value)} now")
    return found


def _short(value: Any) -> str:
    text = "×".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 24 else text[:12] + "…"


@dataclass(frozen=True)
class Evaluation:
    """Settings and results of a finished evaluation, and the statistics computed from them.

    Attributes:
        settings: settings from :func:`settings_of`.
        results: one result per object.
        machine: description from :func:`~mfp.bench.machine.facts`.
        notes: sentences about what was left out.
    """

    settings: Settings
    results: tuple[Result, ...]
    machine: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def max_clicks(self) -> int:
        return int(self.settings["conditions"]["max_clicks"])

    @property
    def stop_iou(self) -> float | None:
        stop: float | None = self.settings["conditions"]["stop_iou"]
        return stop

    @property
    def thresholds(self) -> tuple[float, ...]:
        """IoUs up to which clicks are counted; none above the IoU at which objects stopped."""
        return tuple(q for q in THRESHOLDS if self.stop_iou is None or q <= self.stop_iou)

    @property
    def dataset(self) -> str:
        return str(self.settings["dataset"]["name"])

    @property
    def images(self) -> int:
        """Number of photographs."""
        return len({result.image for result in self.results})

    @property
    def workers(self) -> int:
        """Largest number of workers that clicked at the same time."""
        return max(result.workers for result in self.results)

    @property
    def ious(self) -> list[tuple[float, ...]]:
        return [result.ious for result in self.results]

    def noc(self, threshold: float) -> NoC:
        return noc(self.ious, threshold, self.max_clicks)

    @cached_property
    def curve(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Mean IoU after 1, 2, … clicks, in [0, 1]."""
        return mean_iou_curve(self.ious, self.max_clicks)

    @property
    def auc(self) -> float:
        """Area under the curve, see :func:`~mfp.bench.evaluation.protocol.area_under_curve`."""
        return area_under_curve(self.curve)

    @property
    def seconds_per_click(self) -> float:
        return float(np.mean([ms for result in self.results for ms in result.ms])) / 1e3

    def summary(self) -> dict[str, Any]:
        """Statistics as JSON values."""
        figures = {f"{threshold:.2f}": self.noc(threshold) for threshold in self.thresholds}
        return {
            "objects": len(self.results),
            "images": self.images,
            "noc": {key: found.mean for key, found in figures.items()},
            "noc_std": {key: found.std for key, found in figures.items()},
            "nof": {key: found.at_max for key, found in figures.items()},
            "miou": self.curve.tolist(),
            "auc": self.auc,
            "seconds_per_click": self.seconds_per_click,
        }

    def write(self, path: Path) -> Path:
        """Write the record as JSON, one object per line."""
        from ...engine.image import write_file

        record = {
            "kind": "accuracy",
            "schema": SCHEMA,
            "machine": self.machine,
            "settings": self.settings,
            "notes": list(self.notes),
            "summary": self.summary(),
        }
        head = json.dumps(record, indent=1, allow_nan=False)
        lines = ",\n  ".join(json.dumps(result.to_json(), allow_nan=False) for result in self.results)
        return write_file(path, f'{head[:-2]},\n "objects": [\n  {lines}\n ]\n}}\n'.encode())

    @classmethod
    def read(cls, path: Path) -> Evaluation:
        """Read a record that :meth:`write` wrote.

        Args:
            path: the record, or its folder.

        Raises:
            DatasetError: the file cannot be read as a record.
        """
        path = path / RECORD if path.is_dir() else path
        try:
            record = json.loads(path.read_text("utf-8"))
            if (record["kind"], record["schema"]) != ("accuracy", SCHEMA):
                raise ValueError(f"kind {record['kind']!r}, schema {record['schema']}")
            results = tuple(Result.from_json(entry) for entry in record["objects"])
            evaluation = cls(record["settings"], results, record["machine"], tuple(record["notes"]))
            evaluation.summary()
            str(evaluation.settings["network"]["backbone"])
        except OSError as error:
            raise DatasetError(f"cannot read {path}: {error.strerror}; expected an eval.json of mfp eval") from None
        except (KeyError, TypeError, ValueError, DatasetError) as error:
            raise DatasetError(
                f"{path} is no record of mfp eval with schema {SCHEMA} ({type(error).__name__}: {error})"
            ) from None
        return evaluation


def comparable(evaluations: Sequence[Evaluation]) -> list[str]:
    """Sentences about settings that differ between evaluations, though a comparison of networks needs them equal."""
    first, *others = evaluations
    found = []
    names = {result.name for result in first.results}
    if any({result.name for result in other.results} != names for other in others):
        found.append("not over the same objects")
    for key, value in first.settings["conditions"].items():
        if any(other.settings["conditions"].get(key) != value for other in others):
            values = [_short(e.settings["conditions"].get(key)) for e in evaluations]
            found.append(f"different {key.replace('_', ' ')}: {', '.join(values)}")
    return found
