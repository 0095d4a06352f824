"""Published results of the paper and the protocol that produced them (spec section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ...engine.contract import DEFAULT_LONGER_SIDE, Size
from .protocol import MAX_CLICKS

if TYPE_CHECKING:
    from .record import Evaluation


class Published(NamedTuple):
    """A row of the paper's tables.

    Attributes:
        backbone: name of the backbone, as in ``--backbone``.
        trained_on: training data.
        dataset: data set of the evaluation.
        noc: NoC@85, NoC@90, NoC@95.
    """

    backbone: str
    trained_on: str
    dataset: str
    noc: tuple[float, float, float]

    def __str__(self) -> str:
        return f"published: {BACKBONES[self.backbone]}, {self.trained_on}"


BACKBONES = {"vit_b": "ViT-B", "hrnet18": "HRNet-18", "resnet34": "ResNet-34"}
# Number of objects in each data set of the published results.
OBJECTS: Mapping[str, int] = {"GrabCut": 50, "Berkeley": 100, "DAVIS": 345, "SBD": 6671}

TABLE = {
    ("vit_b", "COCO+LVIS"): ((1.34, 1.42, 1.70), (1.35, 1.90, 4.68), (3.37, 4.81, 9.23), (3.26, 5.34, 11.65)),
    ("vit_b", "SBD"): ((1.38, 1.48, 1.92), (1.39, 2.17, 6.18), (3.92, 5.32, 11.27), (3.21, 5.24, 11.20)),
    ("hrnet18", "SBD"): ((1.52, 1.60, 2.90), (1.68, 3.04, 7.94), (4.77, 6.36, 13.45), (3.43, 5.45, 11.58)),
    ("resnet34", "SBD"): ((1.70, 1.92, 3.00), (1.71, 3.37, 7.94), (4.97, 7.78, 14.93), (3.92, 6.21, 12.47)),
}
PUBLISHED = tuple(
    Published(backbone, trained_on, dataset, figures)
    for (backbone, trained_on), row in TABLE.items()
    for dataset, figures in zip(OBJECTS, row, strict=True)
)


def published(dataset: str, backbone: str) -> list[Published]:
    """Rows for a data set: those of the backbone, or all where the backbone is not in the paper."""
    rows = [row for row in PUBLISHED if row.dataset == dataset]
    return [row for row in rows if row.backbone == backbone or backbone not in BACKBONES]


def published_size(dataset: str, backbone: str) -> Size | int:
    """Network size of the published protocol: (H, W), or the longer side of the crop."""
    if backbone == "vit_b":
        return (672, 672) if dataset == "DAVIS" else (448, 448)
    return 600 if dataset == "DAVIS" else DEFAULT_LONGER_SIDE


def departures(evaluation: Evaluation) -> list[str]:
    """Differences from the published protocol that make a comparison with its results invalid, one sentence each."""
    dataset, backbone = evaluation.dataset, evaluation.settings["network"]["backbone"]
    if dataset not in OBJECTS:
        return []
    conditions, network = evaluation.settings["conditions"], evaluation.settings["network"]
    size = published_size(dataset, backbone)
    expected = {
        "size": list(size) if isinstance(size, tuple) else size,
        "flip": True,
        "threshold": 0.5,
        "n_early": network["trained_n_early"],
        "r_max": network["trained_r_max"],
        "distance": "probability",
        "max_clicks": MAX_CLICKS,
    }
    found = []
    if len(evaluation.results) != OBJECTS[dataset]:
        found.append(f"{len(evaluation.results)} objects instead of {OBJECTS[dataset]}")
    if network["weights"].startswith("untrained"):
        found.append("untrained weights")
    if backbone not in BACKBONES:
        found.append(f"another network, {backbone}")
        del expected["size"]
    for key, value in expected.items():
        if conditions[key] != value:
            found.append(f"{key.replace('_', ' ')} {_said(conditions[key])} instead of {_said(value)}")
    return found


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "×".join(map(str, value)) if isinstance(value, list) else f"{value}"
