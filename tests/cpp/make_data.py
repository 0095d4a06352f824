"""What the C++ tests read: ``python tests/cpp/make_data.py FOLDER [networks]``.

Writes photographs as PPM, sizes of regions as text, and the golden trajectories as text and float32 files. With
``networks`` also the ONNX files of the three real backbones, with the weights that the trajectories were recorded with,
which takes a minute; those that are there already are left alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden"
BACKBONES = ("hrnet18", "resnet34", "vit_b")


def main(folder: Path, with_networks: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut", "coffee"):
        write_photograph(folder, name)
    sizes = json.loads((GOLDEN / "roi_sizes.json").read_text())
    (folder / "roi_sizes.txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in sizes))
    toy = np.load(GOLDEN / "trajectory_toy.npz")
    for i in range(int(toy["n"])):
        passes = toy[f"{i}_passes"] if f"{i}_passes" in toy else [2] + [1] * (len(toy[f"{i}_clicks"]) - 1)
        write_trajectory(
            folder / f"toy_{i}",
            image=str(toy[f"{i}_image"]),
            target=toy[f"{i}_target"],
            flip=bool(toy[f"{i}_flip"]),
            clicks=toy[f"{i}_clicks"],
            maps=toy[f"{i}_prob_stride8"],
            passes=passes,
        )
    for backbone in BACKBONES:
        data = np.load(GOLDEN / f"trajectory_{backbone}.npz")
        write_trajectory(
            folder / backbone,
            image="astronaut",
            target=data["target_size"],
            flip=True,
            clicks=data["clicks"],
            maps=data["prob_stride8"],
            passes=[2] + [1] * (len(data["clicks"]) - 1),
        )
        if with_networks:
            write_network(folder / f"{backbone}.onnx", backbone)


def write_photograph(folder: Path, name: str) -> None:
    from mfp import read_image

    image = read_image(GOLDEN / f"{name}.png")
    header = f"P6\n{image.shape[1]} {image.shape[0]}\n255\n".encode()
    (folder / f"{name}.ppm").write_bytes(header + image.tobytes())


def write_trajectory(path: Path, image, target, flip, clicks, maps, passes) -> None:
    """``path.txt``: image, size (one number is the longer side), flip, clicks; ``path.f32``: every eighth pixel."""
    size = np.atleast_1d(target).astype(int).tolist()
    lines = [image, f"{len(size)} " + " ".join(map(str, size)), str(int(flip)), str(len(clicks))]
    for row, count in zip(clicks, passes, strict=True):
        whole = map(int, (*row[2:7], count))
        lines.append(" ".join(map(str, (float(row[0]), float(row[1]), *whole))))
    lines.append(" ".join(map(str, maps.shape)))
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    path.with_suffix(".f32").write_bytes(np.ascontiguousarray(maps, np.float32).tobytes())


def write_network(path: Path, backbone: str) -> None:
    if path.exists():
        return
    from mfp.export.onnx_export import export_module

    sys.path.insert(0, str(TESTS))
    from conftest import golden_network

    export_module(golden_network(backbone), path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["networks"])
