"""Report which runtimes and devices are usable on this machine and, for each that is not, the reason and a remedy."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 0 if at least one runtime is usable, else 1."""
    import platform

    from rich.table import Table
    from rich.text import Text

    from ..engine.devices import cuda_driver
    from ..engine.doctor import array_work, examine
    from ..engine.plans.gpu import gpu
    from ..engine.requirements import INSTALL
    from ..engine.terminal.console import Output
    from ..engine.version import __version__

    gpus, why = cuda_driver()
    table = Table("runtime", "device", "", "what is there", title="mfp doctor")
    findings = examine()
    shown = [*findings, array_work()]
    for finding in shown:
        mark = Text("usable", "green") if finding.usable else Text("no", "yellow")
        table.add_row(finding.runtime, finding.device, mark, finding.detail)
    output = Output()
    output.say(
        f"mfp-engine {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    output.say(f"CUDA GPUs: {gpus}" + (f" ({why})" if why else ""))
    for index in range(gpus):
        if found := gpu(index):
            facts = f"compute capability {found.compute_capability}, driver for CUDA {found.cuda}"
            output.say(f"  cuda:{index}: {found.name}, {facts}")
    output.print(table)
    remedies = [finding for finding in shown if finding.remedy]
    if remedies:  # not a column of the table: a command that is wrapped in a column cannot be copied
        output.say("what would change it:")
    for finding in remedies:
        output.say(f"  {finding.runtime} on {finding.device}: {finding.remedy}")
    usable = any(finding.usable for finding in findings)
    if not usable:
        output.say(("No runtime is usable.", "bold red"), f" Start with: {INSTALL['onnxruntime']}")
    return 0 if usable else 1
