"""Networks on TensorRT in C++, on a GPU: golden trajectories, and the time of clicks beside Python's.

Builds a plan of each network with C++, replays the release's trajectories on it, and times clicks through C++ and
through Python on the same plan. Ends with 77, which CTest takes for skipped, where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from mfp import Session, load_network, read_image
from mfp.engine.devices import cuda_driver

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BACKBONES = ("hrnet18", "resnet34", "vit_b")
CLICKS = 100


def build(tool: str, network: Path, plan: Path) -> str:
    """The plan's TensorRT."""
    order = json.dumps({"do": "build", "path": str(network), "plan": str(plan)})
    done = subprocess.run([tool], input=order + "\n", capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    if "error" in answer:
        sys.exit(answer["error"])
    return str(answer["answer"])


def milliseconds(plan: Path, photograph: Path) -> list[float]:
    """Of later clicks through Python, as examples/cpp/latency takes them."""
    image, generator = read_image(photograph), random.Random(0)
    network = load_network(plan)
    times: list[float] = []
    while len(times) < CLICKS:
        with Session(network, image) as session:
            session.click(image.shape[1] / 2, image.shape[0] / 2)
            for k in range(1, 11):
                session.click(generator.uniform(0, image.shape[1]), generator.uniform(0, image.shape[0]), k % 2 == 0)
                times.append(session.timing.total)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("latency", "trajectories", "tool"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("data", "work"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    args = parser.parse_args()
    gpus, why = cuda_driver()
    if not gpus:
        print(f"skipped: {why}")
        return 77
    args.work.mkdir(parents=True, exist_ok=True)
    jobs = [("toy", GOLDEN / "toy.onnx", [f"toy_{i}" for i in range(11)])]
    jobs += [(name, args.data / f"{name}.onnx", [name]) for name in BACKBONES]
    for name, network, trajectories in jobs:
        plan = args.work / f"{name}.plan"
        flavour = build(args.tool, network, plan)
        replayed = subprocess.run([args.trajectories, flavour, args.data, plan, *trajectories])
        if replayed.returncode:
            return replayed.returncode
    for name in BACKBONES:
        plan, photograph = args.work / f"{name}.plan", args.data / "coffee.ppm"
        done = subprocess.run([args.latency, plan, photograph, str(CLICKS)], capture_output=True, text=True, check=True)
        (args.work / f"{name}.json").write_text(done.stdout)
        times = milliseconds(plan, photograph)
        print(f"{name}, C++:\n{done.stderr}{name}, Python:\nlater click: p50 {np.median(times):.1f}, ", end="")
        print(f"p95 {np.percentile(times, 95):.1f}, p99 {np.percentile(times, 99):.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
