"""Markdown report of a latency record: a page with all results, and the remarks that belong under every table."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...engine.contract import Size
from ..intervals import LEVEL, Interval
from ..markdown import NONE, number, plain, table
from ..samples import DRIFT_LIMIT, Summary, summary
from .results import STAGES, Figures, alike, by_backbone, fastest

KEY = (
    "Milliseconds from the call to the mask; “first” is the first click on an object, which takes two network passes, "
    "all other columns are of later clicks. “Times as fast”: median of the authors' way over median of the row, and in "
    f"brackets the {LEVEL * 100:.0f} % interval (bootstrap over clicks that were taken in turn). Bold: the fastest, "
    "and what cannot be told apart from it. Mask IoU, mean and worst: with the authors' FP32 masks, click by click."
)
PERCENTILES_NEED = 100  # samples needed for a p99


def page(record: dict[str, Any], rows: Sequence[Figures], name: str, pictures: Sequence[str] = ()) -> str:
    """Markdown page with all results of a record.

    Args:
        rows: rows from :func:`mfp.bench.timing.results.of_finished`.
        name: name of the record's file.
        pictures: paths of pictures to show, relative to the page.
    """
    small = source_line(record, name)
    height, width = record["settings"]["photograph"]
    lines = [
        f"# {plain(where(record))}: clicks on a {height}×{width} photograph",
        "",
        "Written by `mfp bench report`; what the columns are: docs/latency.md.",
    ]
    lines += ["", "## Clicks", "", *_clicks(rows), "", small, "", KEY, "", *bullets(remarks(rows))]
    lines += ["", *(f"![{Path(picture).stem}]({picture})" for picture in pictures)] if pictures else []
    lines += [
        "",
        "## Stages of a later click, and its floor",
        "",
        *_stages(record, rows),
        "",
        small,
        "",
        *_floors(record),
    ]
    lines += ["", "## Cold start, memory, several sessions", "", *_rest(record, rows), "", small, ""]
    lines += [
        "A fresh process imports, loads and clicks once; its memory is the most it had resident, the GPU's what its "
        "driver lost. Clicks/s × 4: four sessions, a thread each, share one network; clicks of all of them.",
    ]
    if record["peers"]:
        lines += ["", "## Other click models", "", *_peers(record), "", small, ""]
        lines += ["The same photograph and clicks, after the runs above and not in turn with them."]
    lines += ["", "## Left out", "", *(bullets(left_out(record)) or ["Nothing."])]
    return "\n".join(lines) + "\n"


def times_cell(row: Figures) -> str:
    """Cell with the factor and its interval, such as ``"2.07 (1.95–2.20)"``."""
    if row.is_reference:
        return "1"
    return f"{number(row.times)} {range_(row.times_interval)}".strip()


def range_(interval: Interval | None) -> str:
    """Text of an interval, such as ``"(1.95–2.20)"``; empty without one."""
    return f"({number(interval.low)}–{number(interval.high)})" if interval else ""


def bold(cell: str, yes: bool) -> str:
    return f"**{cell}**" if yes else cell


def percent(change: float) -> str:
    """Text of a relative change, such as ``"+3 %"``."""
    return f"{round(100 * change):+d} %"


def remarks(rows: Sequence[Figures]) -> list[str]:
    """Remarks on results: differences within the spread, drift, too few samples for a percentile."""
    found = []
    for backbone, mine in by_backbone(rows).items():
        groups = "; ".join(" ≈ ".join(map(plain, group)) for group in alike(mine))
        if groups:
            found.append(f"{backbone}, differences smaller than the spread (the intervals overlap): {groups}.")
        drifting = [f"{plain(row.name)} {percent(row.later.drift)}" for row in mine if row.later.drifts]
        if drifting:
            found.append(
                f"{backbone}, drift over {DRIFT_LIMIT * 100:.0f} %, median of the last third of the clicks against "
                f"that of the first: {'; '.join(drifting)}. Measure again on a quieter machine."
            )
    fewest = min(row.later.count for row in rows)
    if fewest < PERCENTILES_NEED:
        found.append(f"p99 of {fewest} clicks lies between the two slowest of them.")
    return found


def left_out(record: dict[str, Any]) -> list[str]:
    """Sentences about what was not measured, grouped by reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in record["left_out"].items():
        reasons.setdefault(why, []).append(name)
    return [f"{plain('; '.join(names))}: {plain(why)}." for why, names in reasons.items()]


def bullets(sentences: Iterable[str]) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]


def where(record: dict[str, Any]) -> str:
    """Name of the GPU, or name of the processor and number of its cores."""
    machine = record["machine"]
    processor = f"{machine['processor']}, {machine['cores']} core{'s' if machine['cores'] != 1 else ''}"
    return str(machine["gpu"]["name"]) if machine.get("gpu") else processor


def source_line(record: dict[str, Any], name: str) -> str:
    """Line in small print: device, driver, versions, commit, date, command, weights, and the file with the samples."""
    machine = record["machine"]
    parts = [where(record)]
    if machine.get("gpu"):
        parts += [
            f"driver {machine['gpu'].get('driver', 'unknown')}",
            f"{machine['processor']}, {machine['cores']} cores",
        ]
    parts.append(", ".join(machine["half_precision"]) or "no instructions for half precision")
    parts += [f"Python {machine['python']}", *(f"{k} {v}" for k, v in machine["versions"].items() if v)]
    parts += [f"commit {machine['commit']}", str(machine["date"]).replace("T", " ").replace("+00:00", " UTC")]
    weights = {network["weights"] for network in record["networks"].values()}
    parts.append(f"weights: {', '.join(sorted(weights))}")
    return f"<sub>{plain('; '.join(parts))}. `{command(record['settings'])}`; all samples in `{name}`.</sub>"


def command(settings: dict[str, Any]) -> str:
    """Command that repeats the measurement. Files of weights and peers are not in a record and appear as FILE."""
    words = ["mfp bench --device", settings["device"]]
    for option, key in (("--backbone", "backbones"), ("--runtime", "runtimes")):
        words += [f"{option} {shlex.quote(value)}" for value in settings.get(key) or ()]
    words += [f"--clicks {settings['clicks']} --warmup {settings['warmup']}"]
    words += ["--sessions", ",".join(map(str, settings["sessions"])), "--image", _size(settings["photograph"])]
    words += ["--compile"] if settings.get("compile") else []
    words += ["--checkpoint FILE.pth"] * len(settings.get("checkpoints") or ())
    words += ["--peer PACKAGE:MODEL=FILE"] * len(settings.get("peers") or ())
    return " ".join(words)


def _clicks(rows: Sequence[Figures]) -> list[str]:
    head = ["backbone", "run", "first", "p50", "p95", "p99", "mean", "clicks", "drift", "times as fast"]
    lines = []
    for backbone, mine in by_backbone(rows).items():
        best = fastest(mine)
        for row in mine:
            cells = [backbone, plain(row.name), number(row.first.p50), bold(number(row.later.p50), row.name in best)]
            cells += [*_tail(row.later), times_cell(row), *iou_cells(row)]
            lines.append(cells)
    return table([*head, "mask IoU", "worst"], lines, left=2)


def _tail(later: Summary) -> Iterator[str]:
    yield from map(number, (later.p95, later.p99, later.mean))
    yield str(later.count)
    yield bold(percent(later.drift), later.drifts)


def iou_cells(row: Figures) -> list[str]:
    """Cells with mean and worst mask IoU."""
    values = (row.agreement.get(key) for key in ("iou_mean", "iou_min"))
    return [NONE if value is None else f"{value:.4f}" for value in values]


def _stages(record: dict[str, Any], rows: Sequence[Figures]) -> list[str]:
    head = ["backbone", "run", *STAGES, "rest", "all of it", "floor", "of the floor"]
    lines = []
    for row in rows:
        parts = [row.stages[name] for name in (*STAGES, "rest")]
        distance = NONE if row.from_floor is None else f"{number(row.from_floor)} ×"
        cells = [number(part) if part else NONE for part in parts]
        lines.append([row.backbone, plain(row.name), *cells, number(sum(parts)), number(row.floor), distance])
    return table(head, lines, left=2)


def _floors(record: dict[str, Any]) -> Iterator[str]:
    yield (
        "Mean milliseconds (means add up); on a GPU of clicks whose steps ran one by one. Floor: the pass's "
        "floating-point operations at the speed of a large matrix product, or its weights at the speed of a large "
        "copy, whichever takes longer; the distance from it is the median's."
    )
    yield ""
    for name, network in record["networks"].items():
        megabytes = (network[key] / 1e6 for key in ("weight_bytes", "tensor_bytes"))
        yield "- {}, {}: {} GFLOP a pass, {:.0f} MB of weights, {:.0f} MB between its matrix operators (FP32).".format(
            name, _size(network["size"]).replace("x", "×"), number(network["gflop"]), *megabytes
        )
    ceilings = record["ceilings"]
    products = ", ".join(f"{plain(k)} {v:,.0f} GFLOP/s" for k, v in ceilings["matrix_product_gflops"].items())
    yield f"- Measured here: a large matrix product {products}; a large copy {number(ceilings['copy_gb_per_s'])} GB/s."


def _rest(record: dict[str, Any], rows: Sequence[Figures]) -> list[str]:
    sessions = [str(count) for count in record["settings"]["sessions"]]
    head = ["backbone", "run", "import s", "load s", "first click s", "memory MB", "GPU MB"]
    head += [f"clicks/s × {count}" for count in sessions]
    lines = []
    for row in rows:
        click = row.cold.get("first_click_ms")
        seconds = (row.cold.get("import_s"), row.cold.get("load_s"), None if click is None else click / 1e3)
        memory = (row.memory.get(key) for key in ("process_bytes", "device_bytes"))
        cells = [row.backbone, plain(row.name), *map(number, seconds)]
        cells += [NONE if value is None else f"{value / 1e6:,.0f}" for value in memory]
        cells += [number(row.throughput.get(count)) for count in sessions]
        lines.append(cells)
    return table(head, lines, left=2)


def _peers(record: dict[str, Any]) -> list[str]:
    lines = []
    for peer in record["peers"]:
        first, later = summary(peer["first"]), summary(peer["later"])
        lines.append([plain(peer["name"]), number(first.p50), number(later.p50), *_tail(later)])
    return table(["model", "first", "p50", "p95", "p99", "mean", "clicks", "drift"], lines)


def _size(size: Size | Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
