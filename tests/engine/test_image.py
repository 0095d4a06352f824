"""Images on their way in: what is converted, what is refused."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mfp import read_image
from mfp.engine.errors import ImageError
from mfp.engine.image import as_rgb, decode_image, write_png

torch = pytest.importorskip("torch")
RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (RGB, RGB),
        (GREY, np.stack([GREY] * 3, axis=2)),
        (GREY[:, :, None], np.stack([GREY] * 3, axis=2)),
        (np.dstack([RGB, GREY]), RGB),
        (RGB[::-1, ::-1], RGB[::-1, ::-1]),
        (Image.fromarray(RGB), RGB),
        (torch.from_numpy(RGB), RGB),
        (RGB[:, :1], RGB[:, :1]),
    ],
    ids=["rgb", "grey", "grey channel", "alpha", "strides", "PIL", "torch", "one pixel wide"],
)
def test_what_is_accepted(image, expected):
    found = as_rgb(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (RGB / 255, "uint8 values 0 to 255, got float64"),
        (RGB.astype(np.uint16), "got uint16"),
        (RGB > 9, "got bool"),
        (RGB.transpose(2, 0, 1), "looks like channels first"),
        (np.zeros((0, 5, 3), np.uint8), "an empty one"),
        (np.zeros((5, 5, 2), np.uint8), "5×5×2"),
        (np.zeros((2, 5, 5, 3), np.uint8), "2×5×5×3"),
        (np.zeros(5, np.uint8), "shape"),
        ("photo.jpg", r"pass read_image\(path\)"),
        (None, "got None"),
        ([[1, 2], [3]], "that NumPy can read"),
    ],
)
def test_what_is_refused(image, words):
    with pytest.raises(ImageError, match=words):
        as_rgb(image)


def test_gpu_arrays_are_named():
    class OnGpu:
        __cuda_array_interface__ = {}  # noqa: RUF012

    with pytest.raises(ImageError, match=r"CuPy: \.get\(\)"):
        as_rgb(OnGpu())


@pytest.mark.parametrize("name", ["a.png", "ünïcode ☃.png"])
def test_png_round_trip(tmp_path, name):
    assert write_png(tmp_path / name, RGB) == tmp_path / name
    np.testing.assert_array_equal(read_image(tmp_path / name), RGB)
    np.testing.assert_array_equal(decode_image((tmp_path / name).read_bytes()), RGB)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_of_other_kinds_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), GREY)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([RGB[:, :, ::-1], GREY]))
    cv2.imwrite(str(tmp_path / "deep.png"), RGB[:, :, ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.stack([GREY] * 3, axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), RGB)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), RGB)


def test_exif_orientation_turns_the_photograph_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    data = io.BytesIO()
    Image.fromarray(RGB).save(data, "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(data.getvalue())
    assert read_image(tmp_path / "turned.jpg").shape == (9, 6, 3)


@pytest.mark.parametrize("data", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_files_that_are_no_images(tmp_path, data):
    path = tmp_path / "file.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"file\.png"):
        read_image(path)
    with pytest.raises(ImageError, match="the image is no image that can be read"):
        decode_image(data)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "nothing.jpg")
    with pytest.raises(ImageError, match="cannot read"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot write"):
        write_png(tmp_path / "missing" / "a.png", RGB)
