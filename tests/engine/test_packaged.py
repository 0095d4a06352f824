"""The network that ships with the package: found by name, without PyTorch, and it sees what is clicked on."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfp import MfpError, Session, load_network, read_image
from mfp.cli.main import main
from mfp.engine import packaged
from mfp.engine.sample import sample_photograph

# Outline of the astronaut on the packaged photograph, drawn by hand: x, y.
ASTRONAUT = [
    (222, 14), (252, 18), (275, 30), (292, 52), (300, 80), (297, 110), (282, 136), (266, 148), (268, 166), (290, 180),
    (304, 210), (308, 236), (330, 262), (350, 292), (362, 330), (366, 345), (340, 352), (316, 368), (298, 392),
    (284, 424), (279, 460), (281, 511), (12, 511), (10, 470), (22, 420), (25, 380), (32, 330), (45, 280), (70, 245),
    (108, 212), (115, 190), (128, 170), (152, 152), (176, 150), (186, 138), (164, 122), (153, 92), (156, 62), (170, 38),
    (194, 20),
]  # fmt: skip


@pytest.fixture(scope="module")
def lite0():
    return load_network("lite0", device="cpu")


def test_it_is_found_by_name_and_says_what_it_is(lite0, tmp_path, monkeypatch):
    assert packaged.names() == ["lite0", "lite0_fp16"]
    weights = "sha256:" + hashlib.sha256(packaged.find("lite0", ".pth").read_bytes()).hexdigest()
    half = load_network("lite0", runtime="onnxruntime", device="cpu", precision="fp16")
    for network, precision in ((lite0, "fp32"), (half, "fp16")):
        assert (network.info.backbone, network.info.size, network.info.precision, network.info.weights) == (
            "lite0", (384, 384), precision, weights,
        )  # fmt: skip
        assert network.info.trained
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lite0").mkdir()
    assert packaged.find("lite0").is_file()
    assert str(packaged.find("./lite0")) == "lite0"  # that folder
    assert sum(file.stat().st_size for file in packaged.FOLDER.glob("*.onnx")) < 12e6


def test_two_clicks_give_the_astronaut(lite0):
    image = sample_photograph()
    outline = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [np.array(ASTRONAUT)], 1) > 0
    with Session(lite0, image) as session:
        session.click(120, 330)
        found = np.asarray(session.click(220, 110))
    assert (found & outline).sum() > 0.93 * (found | outline).sum()


def test_half_precision_gives_the_same_mask(lite0):
    half = load_network("lite0", runtime="onnxruntime", device="cpu", precision="fp16")
    masks = []
    for network in (lite0, half):
        with Session(network, sample_photograph(), flip=False) as session:
            session.click(120, 330)
            masks.append(np.asarray(session.click(220, 110)))
    assert (masks[0] & masks[1]).sum() > 0.99 * (masks[0] | masks[1]).sum()


def test_openvino_takes_it(lite0):
    pytest.importorskip("openvino")
    rng = np.random.default_rng(0)
    inputs = [rng.random((1, channels, 384, 384), dtype=np.float32) for channels in (3, 1, 1, 2)]
    np.testing.assert_allclose(
        load_network("lite0", runtime="openvino")(*inputs), lite0(*inputs), atol=1e-3 * float(lite0(*inputs).std())
    )


@pytest.mark.parametrize("name", ["lite1", "hrnet18", "networks/lite0"])
def test_what_is_not_packaged_is_said(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MfpError, match=rf"no such network in the package: {name}; packaged are lite0, lite0_fp16"):
        load_network(name)


def test_segment_needs_no_network_and_no_pytorch(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes((packaged.FOLDER.parent / "sample.jpg").read_bytes())
    code = (
        "import sys; sys.modules['torch'] = None\n"  # as if it were not installed
        "from mfp.cli.main import main\n"
        "sys.exit(main(['segment', 'photo.jpg', '--pos', '220,110', '--no-flip']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "UNTRAINED" not in done.stdout
    assert read_image(tmp_path / "photo_mask.png")[110, 220].all()


def test_info_knows_the_name(capsys):
    assert main(["info", "lite0"]) == 0
    assert "2.68 M" in capsys.readouterr().out  # BatchNorm is in the convolutions


class TestPackagedName:
    """Every command that takes a network takes ``lite0``; mfp bench is tested with its own."""

    def test_convert(self, mfp, tmp_path, monkeypatch):
        pytest.importorskip("onnxruntime")
        monkeypatch.chdir(tmp_path)
        code, _, err = mfp("convert", "lite0", "--precision", "bf16")
        assert code == 0, err
        assert [path.name for path in tmp_path.iterdir()] == ["lite0_bf16.onnx"]

    def test_build(self, mfp, tmp_path, monkeypatch):
        from mfp.engine.packaged import FOLDER
        from mfp.engine.plans import builder

        monkeypatch.chdir(tmp_path)
        read = []

        class ReadError(Exception):
            pass

        def note(path):  # building takes what not every machine has; what is asked for is seen before
            read.append(path)
            raise ReadError

        monkeypatch.setattr(builder, "open_flavour", lambda flavour: None)
        monkeypatch.setattr(builder, "read_model", note)
        for arguments in (["lite0"], ["lite0", "--precision", "fp16"]):
            with pytest.raises(ReadError):
                mfp("build", *arguments)
        assert read == [FOLDER / "lite0.onnx", FOLDER / "lite0_fp16.onnx"]

    def test_eval_takes_it_where_none_is_named(self, mfp, golden, tmp_path):
        for part in ("images", "masks"):
            (tmp_path / "data" / part).mkdir(parents=True)
            shutil.copy(golden("coffee.png"), tmp_path / "data" / part / "coffee.png")
        code, _, err = mfp(
            "eval", tmp_path / "data", "--mask-values", "any", "--max-clicks", 1, "--output", tmp_path / "out",
            "--device", "cpu",
        )  # fmt: skip
        assert code == 0, err
        assert json.loads((tmp_path / "out" / "eval.json").read_text())["settings"]["network"]["file"] == "lite0.onnx"

    def test_the_others(self, mfp, golden, tmp_path):
        assert mfp("info", "lite0")[0] == 0
        assert mfp("triton-repo", "lite0", "--output", tmp_path / "triton")[0] == 0
        assert mfp("compare", "lite0", "lite0@onnxruntime/fp16", "--clicks", 1, "--device", "cpu")[0] == 0


def test_what_is_made_of_a_packaged_network_goes_here():
    from mfp.engine.packaged import FOLDER, default_output

    assert default_output("lite0", "a.onnx") == default_output(FOLDER / "lite0.onnx", "a.onnx") == Path("a.onnx")
    assert default_output("folder/net.onnx", "a.onnx") == Path("folder/a.onnx")
