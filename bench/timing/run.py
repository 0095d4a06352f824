"""Latency run: measures piece by piece and saves each before the next, so that an interrupted run can resume."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.errors import MfpError, OptionError, RuntimeMissingError
from ...engine.requirements import one_line
from ..samples import stage, summary
from ..workload import photograph, scripts
from . import cold_start, peers, roofline, throughput
from .cases import COMPILED, REFERENCE, Opened, Run, Sources, chosen_runs, open_run
from .interleave import clicks_in_turn
from .networks import make_sources
from .record import find_run, new_run

NOT_HERE = (RuntimeMissingError, OptionError)  # a package, device or precision is not available
STAGED = 4  # objects whose clicks run step by step on a GPU


@dataclass
class LatencyRun:
    """A latency run.

    Args:
        record: record that results are added to, see :mod:`mfp.bench.timing.record`.
        save: function that writes the record.
        checkpoints: checkpoint files by backbone; other backbones get packaged or seeded weights.
        asked_peers: other models to time.
        told: function called with the current activity, the number of pieces begun, and their total number.
    """

    record: dict[str, Any]
    save: Callable[[], None]
    checkpoints: Mapping[str, Path]
    asked_peers: Sequence[peers.Peer]
    told: Callable[[str, int, int], None]

    def run(self) -> None:
        """Measure everything that the record lacks.

        Runs that are not available are left out. A run that fails for another reason does not stop the others; it is
        listed in ``record["failed"]``, and the record stays unfinished.

        Raises:
            Exception: the baseline, which everything is compared with, fails.
        """
        record, settings = self.record, self.record["settings"]
        record["failed"] = {}  # failed runs are tried again
        self._done = 0
        self._device: str = settings["device"]
        self._image = photograph(settings["photograph"])
        height, width = settings["photograph"]
        self._objects = scripts(height, width, settings["clicks"], settings["seed"])
        self._runs, left_out = chosen_runs(self._device, settings["runtimes"], settings["compile"])
        record["left_out"] = {**left_out, **peers.not_asked_for(self.asked_peers), **record["left_out"]}
        self._clicks = settings["warmup"] + sum(map(len, self._objects))
        self._pieces = len(self._runs) * (2 + len(settings["sessions"])) + self._clicks  # pieces per backbone
        self._all = self._pieces * len(settings["backbones"]) + len(self.asked_peers)
        if not record["ceilings"]:
            self._tell("the machine's ceilings", 0)
            precisions = ("fp32", "bf16") if self._device == "cpu" else ("fp32", "tf32", "fp16", "bf16")
            record["ceilings"] = roofline.measure_ceilings(self._device, precisions)
            self.save()
        for number, backbone in enumerate(settings["backbones"]):
            self._done = number * self._pieces
            if not self._is_complete(backbone):
                self._backbone(backbone)
        self._done = self._pieces * len(settings["backbones"])
        for peer in self.asked_peers:
            self._peer(peer)
        record["finished"] = not record["failed"]
        self.save()

    def _backbone(self, backbone: str) -> None:
        self._tell(f"{backbone}: writing its files", 0)
        record = self.record
        runs = [run for run in self._runs if f"{backbone}, {run.name}" not in record["left_out"]]
        with tempfile.TemporaryDirectory(prefix="mfp-bench-") as folder:
            sources = make_sources(backbone, self.checkpoints.get(backbone), runs, Path(folder))
            if backbone not in record["networks"]:
                network = roofline.count(sources.files["fp32"], sources.size, batch=2)
                record["networks"][backbone] = {**network, "weights": sources.module.weights}
            # cold starts come first, while this process uses little memory: their processes share the machine with it
            runs = [run for run in runs if self._started(run, sources)]
            opened = {run: ready for run in runs if (ready := self._opened(run, sources))}
            self._in_turn(backbone, opened)
            for run, ready in opened.items():
                self._stages(backbone, run, ready, sources)
                self._sessions(backbone, run, ready)

    def _started(self, run: Run, sources: Sources) -> bool:
        """Measure the cold start of a run; whether the run works."""
        if not find_run(self.record, sources.backbone, run.name):
            self._tell(f"{sources.backbone}, {run.name}: cold start")
            try:
                found = cold_start.measure(run, sources, self._device, self._image.shape[:2])
            except Exception as error:
                self._without(sources.backbone, run, error)
                return False
            self.record["runs"].append({**new_run(sources.backbone, run, self._device), **found})
            self.save()
        return True

    def _opened(self, run: Run, sources: Sources) -> Opened | None:
        self._tell(f"{sources.backbone}, {run.name}: loading")
        source = sources.module if run.runtime.startswith("torch") else sources.of(run)
        try:
            ready = open_run(run, source, sources.size, self._device)
            ready.start(self._image).click(0, 0)  # compiles, if the run does
        except Exception as error:
            self._without(sources.backbone, run, error)
            return None
        return ready

    def _in_turn(self, backbone: str, opened: Mapping[Run, Opened]) -> None:
        """Time the clicks of all runs, interleaved. If any run lacks clicks, all runs are measured again."""
        entries = [find_run(self.record, backbone, run.name) or {} for run in opened]
        if all(entry["later"] for entry in entries):
            self._done += self._clicks
            return
        names = {run.name: ready for run, ready in opened.items()}
        samples = clicks_in_turn(
            names,
            self._image,
            self._objects,
            self.record["settings"]["warmup"],
            lambda: self._tell(f"{backbone}: clicks of {len(names)} runs in turn"),
        )
        for entry in entries:
            found = samples[entry["name"]]
            entry |= {"first": found.first, "later": found.later, "agreement": found.agreement}
        self.save()

    def _stages(self, backbone: str, run: Run, ready: Opened, sources: Sources) -> None:
        """Time the engine's stages on a GPU, where the clock sees a click as one piece."""
        entry = find_run(self.record, backbone, run.name) or {}
        if ready.network is None or ready.network.device == "cpu" or entry["stages"]:
            return
        from ...engine.pipelines.gpu import open_device
        from .gpu_stages import EventClock, click_stages

        device = open_device(ready.network)
        objects = self._objects[:STAGED]
        with device.current():
            entry["stages"] = click_stages(ready.network, self._image, sources.size, objects, device, EventClock())
        self.save()

    def _sessions(self, backbone: str, run: Run, ready: Opened) -> None:
        settings, entry = self.record["settings"], find_run(self.record, backbone, run.name) or {}
        if entry["throughput"]:
            self._done += len(settings["sessions"])
            return
        seconds = summary(stage(entry["later"])).p50 / 1e3
        entry["throughput"] = throughput.measure(
            ready,
            self._image,
            settings["sessions"],
            seconds,
            settings["seed"],
            lambda: self._tell(f"{backbone}, {run.name}: several sessions at once"),
        )
        self.save()

    def _peer(self, peer: peers.Peer) -> None:
        if any(found["name"] == peer.name for found in self.record["peers"]):
            return
        self._tell(peer.name)
        try:
            self.record["peers"].append(peers.measure(peer, self._image, self._objects, self._device))
        except RuntimeMissingError as error:
            self.record["left_out"][peer.name] = one_line(error)
        except Exception as error:
            self.record["failed"][peer.name] = _report(error)
        self.save()

    def _without(self, backbone: str, run: Run, error: Exception) -> None:
        """Record that a run cannot be measured: left out where it is not available, failed otherwise."""
        if run == REFERENCE:
            raise error
        found = find_run(self.record, backbone, run.name)
        if found:
            self.record["runs"].remove(found)
        name = f"{backbone}, {run.name}"
        # torch.compile's requirements were checked before, so an error here is a failure
        if isinstance(error, NOT_HERE) and run.runtime != COMPILED:
            self.record["left_out"][name] = one_line(error)
        else:
            self.record["failed"][name] = _report(error)
        self.save()

    def _is_complete(self, backbone: str) -> bool:
        """Whether all runs of a backbone have all their pieces."""
        found = {run["name"]: run for run in self.record["runs"] if run["backbone"] == backbone}
        wanted = [run for run in self._runs if f"{backbone}, {run.name}" not in self.record["left_out"]]
        return all(run.name in found and found[run.name]["throughput"] for run in wanted)

    def _tell(self, what: str, pieces: int = 1) -> None:
        """Report the current activity, with which ``pieces`` pieces begin."""
        self._done += pieces
        self.told(what, self._done, self._all)


def _report(error: Exception) -> str:
    """Text of an error; for an unexpected one the full traceback."""
    return str(error) if isinstance(error, MfpError) else "".join(traceback.format_exception(error)).rstrip()
