"""Other click models: what is missing is named, nothing is fetched, what is there is asked as its package wants."""

import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mfp.bench.timing import peers  # noqa: E402
from mfp.bench.workload import seeded_clicks  # noqa: E402
from mfp.engine.errors import OptionError, RuntimeMissingError  # noqa: E402

OBJECTS = [seeded_clicks(str(i), 40, 60, 3) for i in range(2)]


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"")
    return file


@pytest.fixture
def package(monkeypatch):
    """A package with the interface of segment_anything, which notes what it is asked."""
    asked = []

    class Predictor:
        def __init__(self, model):
            self.model = model

        def set_image(self, image):
            asked.append(("image", image.shape))

        def predict(self, point_coords, point_labels, mask_input=None, multimask_output=True):
            asked.append((point_coords.tolist(), point_labels.tolist(), mask_input is not None, multimask_output))
            count = 3 if multimask_output else 1
            return np.zeros((count, 40, 60), bool), np.arange(count), np.zeros((count, 256, 256), np.float32)

    module = types.ModuleType("segment_anything")
    module.__spec__ = types.SimpleNamespace()
    module.sam_model_registry = {"vit_b": lambda checkpoint: torch.nn.Identity()}
    module.SamPredictor = Predictor
    monkeypatch.setitem(sys.modules, "segment_anything", module)
    return asked


def test_first_and_later_clicks_are_apart(package, weights):
    peer = peers.parse_peer(f"segment_anything:vit_b={weights}")
    found = peers.measure(peer, np.zeros((40, 60, 3), np.uint8), OBJECTS, "cpu")
    assert found["name"] == "segment_anything vit_b"
    assert (len(found["first"]), len(found["later"])) == (2, 4)
    assert all(value > 0 for value in (*found["first"], *found["later"]))
    asked = package[3:]  # after the object that is thrown away
    for clicks, (image, *predictions) in zip(OBJECTS, (asked[:4], asked[4:]), strict=True):
        assert image == ("image", (40, 60, 3))
        for number, (points, labels, has_mask, several) in enumerate(predictions, 1):
            assert points == [[click.x, click.y] for click in clicks[:number]]
            assert labels == [int(click.positive) for click in clicks[:number]]
            assert has_mask == (number > 1)
            assert several == (number == 1)
    assert "segment_anything" not in peers.not_asked_for([peer])
    assert "no weights named" in peers.not_asked_for([peer])["sam2"]


@pytest.mark.parametrize("text", ["sam", "sam2:tiny", "sam2=file", "other:tiny=file", "sam2:=file", "sam2:tiny="])
def test_bad_names_say_the_form(text):
    with pytest.raises(OptionError, match=r"PACKAGE:MODEL=FILE.*got"):
        peers.parse_peer(text)


def test_what_is_missing_or_fails_is_said(package, weights, tmp_path):
    image = np.zeros((40, 60, 3), np.uint8)
    with pytest.raises(OptionError, match=r"no such file: nowhere.pt"):
        peers.parse_peer("sam2:tiny=nowhere.pt")
    with pytest.raises(RuntimeMissingError, match=r"sam2 is not installed; install it with: pip install sam2"):
        peers.measure(peers.parse_peer(f"sam2:tiny={weights}"), image, OBJECTS, "cpu")
    with pytest.raises(OptionError, match="no model 'vit_x'; expected one of vit_b"):
        peers.measure(peers.parse_peer(f"segment_anything:vit_x={weights}"), image, OBJECTS, "cpu")
    sys.modules["segment_anything"].sam_model_registry["vit_b"] = lambda checkpoint: {}["a key"]
    with pytest.raises(KeyError, match="a key"):  # not "missing": mfp bench shows it, and fails
        peers.measure(peers.parse_peer(f"segment_anything:vit_b={weights}"), image, OBJECTS, "cpu")
