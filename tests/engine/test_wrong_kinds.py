"""Values of the wrong kind that Python would take silently: coordinates, flags and paths."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfp.cli.main import main
from mfp.engine import packaged
from mfp.engine.clicks import checked_click
from mfp.engine.errors import ClickError, ImageError, NetworkError, OptionError
from mfp.engine.image import read_image
from mfp.engine.network import load_network
from mfp.engine.predictor import Predictor
from mfp.engine.session import Session


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array(True), 1 + 0j, np.complex64(1), np.ma.masked, "1", b"1", None, [1]], ids=repr
)
def test_a_coordinate_is_a_real_number(value: Any) -> None:
    for x, y in ((value, 1), (1, value)):
        with pytest.raises(ClickError, match="expected numbers for a click's x and y"):
            checked_click(x, y, True, 1, 9, 9)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.uint8(2), np.array(2)], ids=repr)
def test_a_coordinate_is_taken_as_any_real_number(value: Any) -> None:
    assert checked_click(value, value, True, 1, 9, 9).x == 2


@pytest.mark.parametrize("flip", ["no", "False", None, 2, 0.0, []], ids=repr)
def test_flip_is_a_boolean(flip: Any) -> None:
    with pytest.raises(OptionError, match="expected True or False for flip"):
        Session(load_network("lite0"), np.zeros((9, 9, 3), np.uint8), flip=flip)


def test_points_are_not_labels() -> None:
    predictor = Predictor(load_network("lite0"))
    predictor.set_image(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(OptionError, match="got booleans"):
        predictor.predict([[True, False]])


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (None, "got NoneType"),
        (3, "got int"),
        (b"x.jpg", "got bytes"),
        (np.zeros((2, 2, 3), np.uint8), "got ndarray"),
        ("a\0b.jpg", "null character"),
        ("https://example.org/x.jpg", "https://example.org/x.jpg: .* got an address"),
    ],
    ids=["None", "int", "bytes", "array", "null", "address"],
)
def test_a_path_is_a_files_path(path: Any, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        read_image(path)


@pytest.mark.parametrize("raised", ["RuntimeError('no AVX')", "ImportError('libopenvino.so: not there')"])
def test_a_broken_openvino_is_not_called_missing(raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text(f"raise {raised}\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NetworkError, match=r"installed, but does not load: .*(no AVX|not there)"):
        load_network("lite0", runtime="openvino")


def test_a_file_called_like_the_packaged_network_can_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Path(packaged.__file__).with_name("sample.jpg")
    (tmp_path / "lite0").write_bytes(b"something else")
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(photo), "--pos", "9,9", "--network", "./lite0"]) == 2
    assert "lite0: expected a file ending in" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["lite0"]
