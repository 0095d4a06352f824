"""Terminal tables of a latency record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..markdown import number
from ..samples import stage, summary
from .cases import REFERENCE
from .record import find_run
from .roofline import floor_ms

if TYPE_CHECKING:
    from rich.table import Table

NETWORK = ("network", "device")  # stages that contain the network's passes


def tables(record: dict[str, Any]) -> Iterator[Table]:
    """Yield two tables per backbone, and one of the peers."""
    for backbone in record["networks"]:
        runs = [run for run in record["runs"] if run["backbone"] == backbone and run["later"]]
        if runs:
            yield _latency(record, backbone, runs)
            yield _the_rest(record, backbone, runs)
    if record["peers"]:
        yield _peers(record["peers"])


def remarks(record: dict[str, Any]) -> Iterator[str]:
    """Yield remarks for the reader of the tables in plain text: drift, runs left out or failed, ceilings, machine."""
    for run in record["runs"]:
        drift = summary(stage(run["later"])) if run["later"] else None
        if drift and drift.drifts:
            yield (
                f"drift: {run['backbone']}, {run['name']}: the last third of the clicks took {abs(drift.drift):.0%} "
                f"{'longer' if drift.drift > 0 else 'less'} than the first; measure again on a quieter machine"
            )
    for name, why in record["left_out"].items():
        yield f"left out: {name}: {why}"
    for name, why in record["failed"].items():
        yield f"FAILED: {name}: {why}"
    ceilings = record["ceilings"]
    if ceilings:
        products = ", ".join(f"{speed:.0f} GFLOP/s {name}" for name, speed in ceilings["matrix_product_gflops"].items())
        yield f"ceilings: large matrix product {products}; large copy {ceilings['copy_gb_per_s']:.1f} GB/s"
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    gpu = machine["gpu"]
    where = f"{gpu['name']}, driver {gpu.get('driver', 'unknown')}; " if gpu else ""
    features = "".join(f", {name}" for name in machine["half_precision"])
    yield f"{where}{machine['processor']}, {machine['cores']} cores{features}; {versions}"


def _latency(record: dict[str, Any], backbone: str, runs: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    settings, network = record["settings"], record["networks"][backbone]
    height, width = settings["photograph"]
    title = "{}, {}×{}, {}×{} photograph: milliseconds of a click".format(backbone, *network["size"], height, width)
    columns = ("first click", "later click", "p95", "p99", "× authors'", "array work", "of the floor")
    table = Table("run", *columns, title=title, caption=f"medians of {_counts(runs)}; weights: {network['weights']}")
    for column in table.columns[1:]:
        column.justify = "right"
    reference = find_run(record, backbone, REFERENCE.name)
    for run in runs:
        first, later = (summary(stage(run[kind])) for kind in ("first", "later"))
        inside = sum(summary(stage(run["later"], name)).p50 for name in NETWORK)
        speed = summary(stage(reference["later"])).p50 / later.p50 if reference and reference["later"] else None
        floor = floor_ms(network, record["ceilings"], run["precision"])
        table.add_row(
            run["name"],
            *(_figure(value) for value in (first.p50, later.p50, later.p95, later.p99)),
            f"{speed:.2f}" if speed else "",
            _figure(later.p50 - inside),
            f"{later.p50 / floor:.1f} ×" if floor else "",
        )
    return table


def _the_rest(record: dict[str, Any], backbone: str, runs: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    sessions = record["settings"]["sessions"]
    columns = ("import s", "load s", "first click s", "memory MB", "GPU MB", *(f"{n} at once" for n in sessions))
    table = Table("run", *columns, "IoU mean", "IoU min", title=f"{backbone}: cold start, clicks per second, agreement")
    for column in table.columns[1:]:
        column.justify = "right"
    for run in runs:
        cold, memory, agreement = (run[key] or {} for key in ("cold", "memory", "agreement"))
        milliseconds = cold.get("first_click_ms")
        seconds = cold.get("import_s"), cold.get("load_s"), milliseconds and milliseconds / 1e3
        megabytes = (memory.get(key) for key in ("process_bytes", "device_bytes"))
        table.add_row(
            run["name"],
            *("" if value is None else f"{value:.2f}" for value in seconds),
            *("" if value is None else f"{value / 1e6:.0f}" for value in megabytes),
            *(_figure(run["throughput"].get(str(count))) for count in sessions),
            *("" if value is None else f"{value:.4f}" for value in map(agreement.get, ("iou_mean", "iou_min"))),
        )
    return table


def _peers(peers: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("peer", "first click", "later click", "p99", title="other models: milliseconds of a click")
    for column in table.columns[1:]:
        column.justify = "right"
    for peer in peers:
        first, later = summary(peer["first"]), summary(peer["later"])
        table.add_row(peer["name"], *(_figure(value) for value in (first.p50, later.p50, later.p99)))
    return table


def _counts(runs: list[dict[str, Any]]) -> str:
    return f"{len(runs[0]['first'])} first and {len(runs[0]['later'])} later clicks"


def _figure(value: float | None) -> str:
    return "" if value is None else number(value)
