"""Say which runtimes and devices are usable here and, for each that is not, why and what would change it."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    """Exit code 0 where at least one runtime is usable, else 1."""
    import platform

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ... import __version__
    from ..devices import cuda_driver
    from ..doctor import array_work, examine
    from ..plans.gpu import gpu
    from ..runtimes import INSTALL

    gpus, why = cuda_driver()
    table = Table("runtime", "device", "", "what is there", "what would change it", title="mfp doctor")
    findings = examine()
    for finding in [*findings, array_work()]:
        mark = "[green]usable[/]" if finding.usable else "[yellow]no[/]"
        table.add_row(finding.runtime, finding.device, mark, escape(finding.detail), escape(finding.remedy))
    console = Console()
    console.print(
        f"mfp-engine {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    console.print(f"CUDA GPUs: {gpus}" + (f" ({why})" if why else ""))
    for index in range(gpus):
        if found := gpu(index):
            facts = f"compute capability {found.compute_capability}, driver for CUDA {found.cuda}"
            console.print(f"  cuda:{index}: {escape(found.name)}, {facts}")
    console.print(table)
    usable = any(finding.usable for finding in findings)
    if not usable:
        console.print(f"[bold red]No runtime is usable.[/] Start with: {INSTALL['onnxruntime']}")
    return 0 if usable else 1
