"""The card of the packaged network says what the records beside it say."""

import json
import re
from pathlib import Path

import pytest

from mfp import load_network

DOCS = Path(__file__).parents[1] / "docs"
CARD = (DOCS / "lite0.md").read_text("utf-8")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_figures_are_the_records(precision):
    evaluation = json.loads((DOCS / f"lite0/eval_{precision}.json").read_text("utf-8"))
    counts, curve = re.findall(rf"^\| lite0 {precision} \| (.*) \|$", CARD, re.MULTILINE)
    found = evaluation["summary"]
    noc = [f"{found['noc'][q]:.2f}" for q in ("0.85", "0.90", "0.95")]
    assert counts.split(" | ") == [*noc, *(str(found["nof"][q]) for q in ("0.90", "0.95"))]
    assert curve.split(" | ") == [f"{100 * found['miou'][n - 1]:.2f}" for n in (1, 2, 3, 5, 10, 20)]
    assert evaluation["settings"]["network"]["weights"] == load_network("lite0", device="cpu").info.weights
    assert evaluation["settings"]["conditions"]["flip"]
    assert len(evaluation["objects"]) == 50


def test_what_it_shows_is_there():
    for name in re.findall(r"\]\((lite0/[^)]+)\)", CARD):
        assert (DOCS / name).is_file()
