"""The record of a latency run: one JSON file, written anew after each piece of work, from which the work can go on.

::

    kind, schema       "latency", 1
    machine            see machine.facts(); "gpu": see machine.gpu_facts()
    settings           what was asked for; the same on --resume
    ceilings           see roofline.measure_ceilings()
    networks           by backbone: floors.count(), and "weights"
    runs               see new_run(): every sample, in milliseconds
    peers              name, first, later: other click models on the same photograph
    left_out           name → why it was not measured: a package, device or precision that is not here
    failed             name → what went wrong when it was; tried again on --resume
    finished           whether all of it is there, and nothing failed

Statistics are not kept: they are computed from the samples (:mod:`mfp.bench.samples`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...engine.errors import ImageError, OptionError
from ...engine.image import write_file
from .cases import Run

KIND, SCHEMA = "latency", 1
OTHER_KINDS = {  # of JSON that looks alike: what they are
    "cpp_latency": "it is what examples/cpp/latency prints, whose percentiles go to stderr; ",
    "accuracy": "it is of `mfp eval`; ",
}
CHANGES = ("date",)  # in the facts of a machine, from one moment to the next


def new_record(machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """A record of nothing yet."""
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
    """A run of which nothing is measured yet.

    ``first`` and ``later`` are lists of clicks, each the milliseconds of its stages and their ``total`` by the clock,
    from the call to the mask; ``stages``, on a GPU, where a click is one piece, has both of clicks whose steps ran one
    by one (:mod:`mfp.bench.timing.gpu_stages`).
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
    """The run of a backbone by its name."""
    found: list[dict[str, Any]] = [r for r in record["runs"] if (r["backbone"], r["name"]) == (backbone, name)]
    return found[0] if found else None


def save(path: Path, record: dict[str, Any]) -> None:
    """Write it; the file appears complete or not at all.

    Raises:
        ImageError: it cannot be written there.
    """
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
    write_file(path, (text + "\n").encode(errors="backslashreplace"))  # of names that are no Unicode


def prepare(path: Path, record: dict[str, Any]) -> None:
    """Write an empty record before the work, so that none of it is lost to a folder that takes no files.

    Raises:
        OptionError: the file is there and holds a run that is not finished.
        ImageError: it cannot be written there.
    """
    if path.is_file():
        try:
            unfinished = not read(path)["finished"]
        except OptionError:  # something else
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
    """A record from a file.

    Raises:
        OptionError: it is none, or of another version of this format.
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
    """Refuse what has the kind and not the contents: a file of another program, or one that was edited.

    Raises:
        OptionError: it lacks something; says what.
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
    """Whether a run may go on here: samples of two machines, commits or settings make no sample.

    Args:
        path: for the message.
        record: from that file.
        machine: this one.
        asked: settings that the caller insists on.

    Raises:
        OptionError: it is finished, or something is not as it was; says what.
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
