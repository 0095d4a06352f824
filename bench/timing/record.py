"""Record of a latency run: one JSON file, rewritten after each piece of work, from which the run can resume.

::

    kind, schema       "latency", 1
    machine            see machine.facts(); "gpu": see machine.gpu_facts()
    settings           options of the run; the same on --resume
    ceilings           see roofline.measure_ceilings()
    networks           by backbone: roofline.count(), and "weights"
    runs               see new_run(): every sample, in milliseconds
    peers              name, first, later: other click models on the same photograph
    left_out           name → why it was not measured: a package, device or precision that is not available
    failed             name → error of its measurement; tried again on --resume
    finished           whether everything is measured and nothing failed

Statistics are not stored: they are computed from the samples (:mod:`mfp.bench.samples`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...engine.errors import ImageError, OptionError
from ...engine.image import write_file
from .cases import Run

KIND, SCHEMA = "latency", 1
OTHER_KINDS = {  # kind of similar JSON files → what they are
    "cpp_latency": "it is what examples/cpp/latency prints, whose percentiles go to stderr; ",
    "accuracy": "it is of `mfp eval`; ",
}
CHANGES = ("date",)  # facts of a machine that change with time


def new_record(machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """New record without measurements."""
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "machine": machine,
        "settings": settings,
        "ceilings": {},
        "networks": {},
        "runs": [],
        "peers": [],
        "left_out": {},
        "failed": {},
        "finished": False,
    }


def new_run(backbone: str, run: Run, device: str) -> dict[str, Any]:
    """New entry of a run without measurements.

    ``first`` and ``later`` are lists of clicks. Each click has the milliseconds of its stages, and its ``total`` by the
    clock, from the call to the mask. On a GPU a click is one piece; there ``stages`` has ``first`` and ``later`` of
    clicks whose steps ran one by one (:mod:`mfp.bench.timing.gpu_stages`).
    """
    return {
        "backbone": backbone,
        "name": run.name,
        "way": run.way,
        "runtime": run.runtime,
        "precision": run.precision,
        "device": device,
        "cold": None,
        "memory": None,
        "first": [],
        "later": [],
        "stages": None,
        "throughput": {},
        "agreement": None,
    }


def find_run(record: dict[str, Any], backbone: str, name: str) -> dict[str, Any] | None:
    """Run of a backbone by its name; None where the record has none."""
    found: list[dict[str, Any]] = [r for r in record["runs"] if (r["backbone"], r["name"]) == (backbone, name)]
    return found[0] if found else None


def save(path: Path, record: dict[str, Any]) -> None:
    """Write a record; the file appears complete or not at all.

    Raises:
        ImageError: the file cannot be written.
    """
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
    write_file(path, (text + "\n").encode(errors="backslashreplace"))  # names may not be Unicode


def prepare(path: Path, record: dict[str, Any]) -> None:
    """Write an empty record before the work, so that an unwritable folder is found before any result can be lost.

    Raises:
        OptionError: the file exists and holds a run that is not finished.
        ImageError: the file cannot be written.
    """
    if path.is_file():
        try:
            unfinished = not read(path)["finished"]
        except OptionError:  # another kind of file
            unfinished = False
        if unfinished:
            raise OptionError(
                f"{path} holds a run that is not finished: go on with --resume {path}, or name another --output"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}; expected a new file's name") from None
    save(path, record)


def read(path: Path) -> dict[str, Any]:
    """Read a record from a file.

    Raises:
        OptionError: the file is not a record, or has another version of this format.
    """
    try:
        record = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read {path}: {error.strerror}; expected a record of `mfp bench`") from None
    except ValueError as error:
        raise OptionError(f"{path} is no JSON ({error}); expected a record of `mfp bench`") from None
    if not isinstance(record, dict) or (record.get("kind"), record.get("schema")) != (KIND, SCHEMA):
        found = (
            {key: record.get(key) for key in ("kind", "schema")} if isinstance(record, dict) else type(record).__name__
        )
        raise OptionError(
            f"{path}: expected a record of `mfp bench` with kind {KIND!r} and schema {SCHEMA}, got {found}; "
            + (OTHER_KINDS.get(str(record.get("kind")), "") if isinstance(record, dict) else "")
            + "measure with this version of mfp bench"
        )
    record.setdefault("failed", {})  # earlier versions had no such key
    _check_complete(path, record)
    return record


def _check_complete(path: Path, record: dict[str, Any]) -> None:
    """Reject a record of the right kind without the expected contents: another program's file, or an edited one.

    Raises:
        OptionError: something is missing; the message lists it.
    """
    wrong = [key for key, value in new_record({}, {}).items() if not isinstance(record.get(key), type(value))]
    if not wrong:
        keys = new_run("", Run("", "", "", ""), "").keys()
        runs = [run if isinstance(run, dict) else {} for run in record["runs"]]
        wrong = [f"{key} of runs[{i}]" for i, run in enumerate(runs) for key in keys if key not in run]
    if wrong:
        raise OptionError(
            f"{path} is no record of `mfp bench`: it lacks {', '.join(wrong[:5])}; measure with mfp bench"
        )


def check_resumable(path: Path, record: dict[str, Any], machine: dict[str, Any], asked: dict[str, Any]) -> None:
    """Check that a run may resume: samples of different machines, commits or settings cannot be combined.

    Args:
        path: path of the record, for the message.
        record: record in that file.
        machine: facts of this machine.
        asked: settings that the caller requires.

    Raises:
        OptionError: the record is finished, or something has changed; the message lists what.
    """
    if record["finished"]:
        raise OptionError(f"{path} is finished: nothing to resume. Leave --resume out to measure anew")
    was, now = ({k: v for k, v in facts.items() if k not in CHANGES} for facts in (record["machine"], machine))
    differences = _differences(was, now) + _differences({key: record["settings"].get(key) for key in asked}, asked)
    if differences:
        raise OptionError(
            f"cannot resume {path}, which was measured otherwise: {'; '.join(differences)}. Leave --resume out to "
            "measure anew"
        )


def _differences(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted({*was, *now}):
        a, b = was.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{key} ")
        elif a != b:
            found.append(f"{prefix}{key} was {a}, is {b}")
    return found
