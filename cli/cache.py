"""Show or empty the cache of built TensorRT engines.

`load_network("model.onnx", runtime="tensorrt")` keeps the engines that it builds in this cache. The environment
variable MFP_CACHE_DIR names the folder, MFP_CACHE_LIMIT its largest size ("10G", "500M" or bytes). The least recently
used engines make room for new ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..engine.errors import OptionError, PlanError

if TYPE_CHECKING:
    from ..engine.plans.cache import EngineCache, Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["list", "clear"], default="list", help="default: list")
    parser.add_argument("--yes", action="store_true", help="clear without asking")


def run(args: argparse.Namespace) -> int:
    from ..engine.plans.cache import EngineCache

    cache = EngineCache()
    entries = cache.entries()
    if args.action == "clear":
        return _clear(cache, entries, ask=not args.yes)
    return _list(cache, entries)


def _list(cache: EngineCache, entries: Sequence[Entry]) -> int:
    from ..engine.terminal.console import Output

    output = Output()
    if entries:
        output.print(_table(entries))
    output.say(f"{_size_of(entries)} of {cache.limit / 1e6:,.0f} MB in {cache.folder}")
    return 0


def _table(entries: Sequence[Entry]) -> Any:
    from rich.table import Table

    from ..engine.plans.plan_file import describe, read_metadata

    table = Table("entry", "network", "precision", "built for", "size", "last used", "age", title="mfp cache")
    table.columns[4].justify = "right"
    for entry in entries:
        try:
            facts = describe(read_metadata(entry.path))
            network, precision, built_for = (facts.get(name, "?") for name in ("backbone", "precision", "built_for"))
        except PlanError:
            facts, precision, built_for = {}, "", ""
            network = "unusable" if entry.path.exists() else "an unfinished build"
        table.add_row(
            entry.path.stem,
            network,
            precision,
            built_for,
            f"{entry.size / 1e6:,.1f} MB",
            _ago(time.time() - entry.last_used),
            _age(facts.get("built", "")),
        )
    return table


def _clear(cache: EngineCache, entries: Sequence[Entry], ask: bool) -> int:
    what = f"{_size_of(entries)} in {cache.folder}"
    if not entries:
        print(f"nothing to remove: {what}")
        return 0
    if ask:
        if not sys.stdin.isatty():
            raise OptionError(
                f"clearing removes {what}; nobody can be asked here, so say it with: mfp cache clear --yes"
            )
        print(f"Remove {what}? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing removed")
            return 1
    freed = sum(cache.remove(entry) for entry in entries)
    left = {entry.path for entry in cache.entries()} & {entry.path for entry in entries}
    print(
        f"removed {len(entries) - len(left)} of {len(entries)} engines, {freed / 1e6:,.1f} MB freed in {cache.folder}"
    )
    for path in sorted(left):
        print(f"  {path.name} stays: it is in use, or being built")
    return 0


def _size_of(entries: Sequence[Entry]) -> str:
    engines = "1 engine" if len(entries) == 1 else f"{len(entries)} engines"
    return f"{engines}, {sum(entry.size for entry in entries) / 1e6:,.1f} MB"


def _age(built: str) -> str:
    try:
        return _ago(time.time() - datetime.fromisoformat(built.replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError, OSError):
        return "?"


def _ago(seconds: float) -> str:
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "now"
