"""Timing of a click's array work on a CUDA GPU: each kernel next to its memory floor, and all of them as one graph.

The click is a later click with the mirrored pass, with the whole image as its region of interest, on a network that
computes nothing. Kernels are timed by CUDA events, with launches of the same kernel one after another in a CUDA graph,
so that the host's launches do not count. An empty kernel is timed in the same way. The floor is the bytes that a kernel
has to move, divided by the bandwidth of a large copy on the device; data in the L2 cache can be read faster than that.

The modulation of the same maps in PyTorch operators is timed too, after its result is checked against the kernels'.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.contract import Size
from ...engine.devices import cuda_driver
from ...engine.errors import RuntimeMissingError
from ...engine.image import write_file
from ...engine.pipelines import gpu
from ...engine.requirements import INSTALL
from ...engine.session import Session
from ...engine.terminal.arguments import parse_size, writable
from ...engine.terminal.guard import guarded
from ...kernels.device import Device
from ..machine import facts, gpu_clocks, gpu_facts
from .bytes_moved import bytes_moved
from .idle_network import BATCH, IdleNetwork, Launch, Scene, session_times
from .tables import tables
from .torch_modulation import modulate

CHAIN = 20  # launches of a kernel in a graph
LARGE = 256 << 20  # bytes of the copy that measures bandwidth: several times an L2 cache
AHEAD, TOGETHER = 20, 50  # large copies before that many timed launches: the GPU must never wait for the host
AGREEMENT = 1e-5  # largest difference allowed between the two modulations before they are timed
MODULATION = ("mfp_begin", "mfp_window", "mfp_select_second", "mfp_select_third", "mfp_modulate")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=_two_sides, default=(1080, 1920), metavar="HxW", help="default: 1080x1920")
    parser.add_argument("--size", type=_two_sides, default=(448, 448), metavar="HxW", help="default: 448x448")
    parser.add_argument("--clicks", type=int, default=5, help="after the one that is timed (default 5; from 8 on late)")
    parser.add_argument("--samples", type=int, default=200, help="of everything (default 200)")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write facts of the machine and all samples")
    args = parser.parse_args(argv)
    if min(args.clicks, args.samples) < 1:
        parser.error("expected --clicks and --samples from 1")
    return guarded("kernels", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.output:
        writable(args.output.parent)
    network = IdleNetwork(args.size)
    try:
        gpus, why = cuda_driver()
        if not gpus:
            raise RuntimeMissingError(why)
        device = gpu.open_device(network)
    except RuntimeMissingError as error:
        print(f"kernels: this measures a CUDA GPU: {error}", file=sys.stderr)
        return 1

    from ...engine.terminal.console import Output

    output = Output()
    record = {"image": args.image, "size": args.size, "batch": BATCH, "clicks": args.clicks, "machine": facts()}
    with output.status("…") as status, device.current():
        scene = Scene(device, args.image, args.size, args.clicks)
        record |= measure(scene, network, args.samples, lambda what: status.update(f"{what} …"))
    # read last, so that the clocks are those of a GPU under load
    record["gpu"] = {**(gpu_facts("cuda:0") or {}), **gpu_clocks("cuda:0")}
    if args.output:
        write_file(args.output, (json.dumps(record, indent=1) + "\n").encode())
    for table in tables(record):
        output.print(table)
    if record["left_out"]:
        output.say(f"left out: {record['left_out']}")
    output.say(f"{record['gpu']}\n{record['machine']['versions']}")
    return 0


def measure(scene: Scene, network: IdleNetwork, samples: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure lists of times in microseconds, bytes, bandwidth in bytes/s, and reasons for what is left out.

    Args:
        scene: scene on a device whose context is current.
        network: network of the scene's size, for sessions.
        samples: number of samples of each time.
        say: function called with the name of what is measured next.

    Raises:
        RuntimeError: the click was not pasted, or the two modulations disagree; the times would be meaningless.
    """
    if scene.status:
        raise RuntimeError(f"the click was not pasted, its status is {scene.status}")
    device = scene.device
    events = Events(device)
    say("bandwidth")
    bandwidth = 2 * LARGE / np.median(events.microseconds(events.copy, samples)) * 1e6
    nothing = events.chain(_kernel_that_does_nothing(events.stream), samples)
    kernels = {}
    for launch, before in _launches(scene):
        say(launch.kernel)
        kernels[launch.kernel] = events.chain(_launch(device, launch), samples, _launches_of(device, before))
    say("click")
    scene.lane.prepare()
    times = {"click_device": events.microseconds(scene.click, samples)}
    with Session(network, scene.pixels, pipeline="device") as session:
        times |= session_times(device, session, scene.sizes.clicks, samples)
    say("modulation")
    compared, left_out = _modulations(events, scene, samples)
    say("uploads")
    times |= compared | _uploads(events, network, scene, samples)
    return {
        "bandwidth": bandwidth,
        "nothing": nothing,
        "bytes": bytes_moved(scene.sizes),
        "kernels": kernels,
        "times": times,
        "left_out": left_out,
    }


class Events:
    """Timer by CUDA events on a GPU stream that is kept busy, so that it never waits for the host."""

    def __init__(self, device: Device) -> None:
        import cupy

        self._cupy, self.device = cupy, device
        self.stream = device.new_stream()
        self._here, self._there = (device.empty((LARGE,), np.uint8) for _ in range(2))

    def copy(self, stream: int) -> None:
        self.device.copy(self._there, self._here, stream)

    def microseconds(
        self, work: Callable[[int], None], samples: int, before: Callable[[int], None] | None = None
    ) -> list[float]:
        """Microseconds of each call of ``work``, which enqueues on a stream, after an untimed call of ``before``."""
        found: list[float] = []
        stream = self.stream.ptr
        while len(found) < samples:
            for _ in range(AHEAD):
                self.copy(stream)
            marks = []
            for _ in range(min(TOGETHER, samples - len(found))):
                if before:
                    before(stream)
                start = self.mark()
                work(stream)
                marks.append((start, self.mark()))
            self.device.synchronize(stream)
            found += [self.between(*pair) for pair in marks]
        return found

    def chain(
        self, work: Callable[[int], None], samples: int, before: Callable[[int], None] | None = None
    ) -> list[float]:
        """Microseconds of one launch, as the mean of :data:`CHAIN` launches in a graph."""
        work(self.stream.ptr)
        self.device.synchronize(self.stream.ptr)  # so that the kernel is loaded

        def steps() -> None:
            for _ in range(CHAIN):
                work(self.stream.ptr)

        graph = self.device.graph(steps, self.stream.ptr)
        if before is not None:
            before = self.device.graph(lambda work=before: work(self.stream.ptr), self.stream.ptr)  # type: ignore[misc]
        return [whole / CHAIN for whole in self.microseconds(graph, samples, before)]

    def wall(self, work: Callable[[], Any], samples: int) -> list[float]:
        """Microseconds of ``work`` by the host's clock, until the stream has finished."""
        found = []
        for _ in range(samples + 1):
            start = time.perf_counter()
            work()
            self.device.synchronize(self.stream.ptr)
            found.append((time.perf_counter() - start) * 1e6)
        return found[1:]  # without the warm-up

    def mark(self) -> Any:
        event = self._cupy.cuda.Event()
        event.record(self.stream)
        return event

    def between(self, start: Any, end: Any) -> float:
        return float(self._cupy.cuda.get_elapsed_time(start, end)) * 1e3


def _launches(scene: Scene) -> list[tuple[Launch, Sequence[Launch]]]:
    """Kernels, each with those that must run before it: some add to buffers that only a click's first kernel clears."""
    of_a_click = [(launch, scene.launches[:i]) for i, launch in enumerate(scene.launches)]
    return [*of_a_click, (scene.bootstrap(), scene.launches), (scene.unpack(), ())]


def _launch(device: Device, launch: Launch) -> Callable[[int], None]:
    return lambda stream: device.launch(launch.kernel, launch.args, launch.work, stream, launch.items)


def _launches_of(device: Device, launches: Sequence[Launch]) -> Callable[[int], None] | None:
    def run(stream: int) -> None:
        for launch in launches:
            _launch(device, launch)(stream)

    return run if launches else None


def _kernel_that_does_nothing(queue: Any) -> Callable[[int], None]:
    """Launcher of an empty kernel.

    Args:
        queue: CuPy stream that the kernel is launched on.
    """
    import cupy

    kernel = cupy.RawKernel('extern "C" __global__ void nothing() {}', "nothing")

    def launch(stream: int) -> None:
        with queue:
            kernel((1,), (32,), ())

    return launch


def _modulations(events: Events, scene: Scene, samples: int) -> tuple[dict[str, list[float]], str]:
    """Time the modulation of both items, by kernels and by PyTorch operators, with events and with the host's clock."""
    device, stream = events.device, events.stream.ptr
    kernels = _launches_of(device, [launch for launch in scene.launches if launch.kernel in MODULATION])
    assert kernels is not None
    graph = device.graph(lambda: kernels(stream), stream)
    times = {"modulation": events.microseconds(graph, samples)}
    times["modulation_wall"] = events.wall(lambda: graph(stream), samples)
    if find_spec("torch") is None:
        return times, f"modulation in PyTorch operators: {INSTALL['torch']}"
    import torch

    if not torch.cuda.is_available():
        return times, "modulation in PyTorch operators: PyTorch finds no GPU"
    maps = torch.as_tensor(scene.worker.prev_mask, device="cuda:0")[:, 0]
    clicks = [scene.clicks_on_map(item) for item in range(BATCH)]

    def in_operators() -> list[Any]:
        return [modulate(map_, item) for map_, item in zip(maps, clicks, strict=True)]

    with torch.inference_mode(), torch.cuda.stream(torch.cuda.ExternalStream(stream)):  # type: ignore[no-untyped-call]
        expected = torch.stack(in_operators()).cpu().numpy()
        check_agreement(scene, expected)
        marks = []
        for _ in range(samples):
            start = events.mark()
            in_operators()
            marks.append((start, events.mark()))
            device.synchronize(stream)
        times["modulation_torch"] = [events.between(*pair) for pair in marks]
        times["modulation_torch_wall"] = events.wall(in_operators, samples)
    return times, ""


def check_agreement(scene: Scene, expected: Any) -> None:
    """Check the kernels' modulated maps against expected ones, float32 (2, H, W).

    Raises:
        RuntimeError: the maps differ by more than :data:`AGREEMENT`.
    """
    apart = float(np.abs(scene.download(scene.worker.modulated_mask, np.float32)[:, 0] - expected).max())
    if not apart <= AGREEMENT:
        raise RuntimeError(f"the kernels and the operators differ by {apart:.1e}, expected {AGREEMENT:.0e} at most")


def _uploads(events: Events, network: IdleNetwork, scene: Scene, samples: int) -> dict[str, list[float]]:
    """Time uploads of only the image, and of whole sessions on it, by the host's clock."""
    device, stream = events.device, events.stream.ptr
    place = device.empty(scene.pixels.shape, np.uint8)
    pinned = device.pinned(scene.pixels.nbytes)
    pinned[:] = scene.pixels.reshape(-1)

    def upload(source: Any) -> Callable[[], None]:
        return lambda: device.copy_in(place.reshape(source.shape), source, stream)

    return {
        "upload": events.wall(upload(scene.pixels), samples),
        "upload_pinned": events.wall(upload(pinned), samples),
        "session": events.wall(lambda: Session(network, scene.pixels).close(), samples),
        "session_in_place": events.wall(lambda: Session(network, place).close(), samples),
    }


def _two_sides(text: str) -> Size:
    size = parse_size(text)
    if isinstance(size, int):
        raise argparse.ArgumentTypeError(f"expected HxW in pixels, for example 1080x1920, got {text!r}")
    return size
