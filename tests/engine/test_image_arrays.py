"""Arrays, PIL images and initial masks: each row of their tables in docs/images.md, with Pillow as the judge."""

import io
import sys
import warnings
from subprocess import run

import numpy as np
import pytest
from PIL import Image, ImageOps

from mfp import Predictor, Session
from mfp.engine.errors import ImageError
from mfp.engine.image import as_initial_mask, as_rgb
from mfp.engine.sample import sample_photograph

PHOTO = Image.fromarray(sample_photograph()).resize((64, 48))
RGB = np.asarray(PHOTO)
ALPHA = np.dstack([RGB, np.zeros((48, 64), np.uint8)])
ALPHA[16:32, :, 3], ALPHA[32:, :, 3] = 128, 255
TRANSPARENT = Image.fromarray(ALPHA)
DEEP = RGB.astype(np.uint16) * 257


def encoded(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def with_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PHOTO, kind, exif=exif)


# Arrays


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (RGB.astype(np.float32), r"got float32; .*\(image \* 255\)\.round"),
        (np.full((4, 4, 3), np.nan), "got float64"),
        (DEEP, r"got uint16; .*image >> 8"),
        (DEEP.astype(">u2"), "got uint16; .*12 bits"),
        (RGB.astype(np.int8), "got int8; .*negative"),
        (RGB.astype(np.int16), "got int16; .*negative"),
        (RGB.tolist(), r"got int64; .*image\.astype\('uint8'\)"),
        (RGB > 9, r"got bool; .*image\.astype\('uint8'\) \* 255"),
        (RGB.astype(np.complex64), "got complex64"),
        (RGB.astype(object), "numbers, got ndarray of object"),
        (np.array(["a"]), "numbers, got ndarray of <U1"),
        (7, "got a single number|got int64"),
        (np.uint8(7), "got a single number"),
        (RGB[None], r"a batch, so pass one image of it: image\[0\]"),
        (np.ma.masked_equal(RGB, RGB[0, 0, 0]), r"without masked pixels.*\.filled\(0\)"),
        (None, "got None; cv2.imread returns None"),
        ("photo.jpg", r"the path 'photo\.jpg': pass read_image\(path\)"),
        (b"\xff\xd8\xff", r"3 bytes: pass mfp\.engine\.image\.decode_image"),
        (bytearray(4), "4 bytes"),
        (object(), "numbers, got object"),
    ],
)
def test_arrays_that_are_refused(image, words):
    with pytest.raises(ImageError, match=words):
        as_rgb(image)


def test_a_path_object_in_place_of_pixels(tmp_path, toy):
    for use in (as_rgb, lambda path: Session(toy, path), Predictor(toy).set_image):
        with pytest.raises(ImageError, match=r"pass read_image\(path\)"):
            use(tmp_path / "photo.jpg")


def test_a_masked_array_without_masked_pixels_is_an_array():
    np.testing.assert_array_equal(as_rgb(np.ma.MaskedArray(RGB)), RGB)


def test_tensors_that_numpy_does_not_take():
    torch = pytest.importorskip("torch")
    with pytest.raises(ImageError, match="NumPy can read as an array, got Tensor"):
        as_rgb(torch.zeros(4, 4, 3, requires_grad=True))
    with pytest.raises(ImageError, match="NumPy can read as an array, got Tensor"):
        as_rgb(torch.zeros(4, 4, 3, dtype=torch.bfloat16))
    with pytest.raises(ImageError, match="channels first"):
        as_rgb(torch.zeros(3, 4, 5, dtype=torch.uint8))


# PIL images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_pil_images_are_converted_as_pillow_converts_them(mode):
    if mode in ("P", "PA"):
        image = PHOTO.quantize(64) if mode == "P" else TRANSPARENT.quantize(64).convert("PA")
    else:
        image = TRANSPARENT.convert(mode)
    assert image.mode == mode
    np.testing.assert_array_equal(as_rgb(image), np.asarray(image.convert("RGB")))


def test_lab_is_converted_as_pillow_converts_it():
    cms = pytest.importorskip("PIL.ImageCms")
    srgb, lab = cms.createProfile("sRGB"), cms.createProfile("LAB")
    image = cms.applyTransform(PHOTO, cms.buildTransform(srgb, lab, "RGB", "LAB"))
    np.testing.assert_array_equal(as_rgb(image), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("transparency", [3, bytes(range(64))])
def test_a_palette_with_transparency(transparency):
    image = Image.open(io.BytesIO(encoded(PHOTO.quantize(64), "PNG", transparency=transparency)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(image.convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(as_rgb(image), expected)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.fromarray(DEEP[:, :, 0]), "mode 'I;16', more than 8 bits"),
        (Image.fromarray(DEEP[:, :, 0].astype(np.int32)), "mode 'I', more than 8 bits"),
        (Image.fromarray(RGB[:, :, 0] / np.float32(255)), "mode 'F', floating-point"),
        (TRANSPARENT.convert("RGBa"), r'mode \'RGBa\', premultiplied.*convert\("RGBA"\)'),
        (TRANSPARENT.convert("LA").convert("La"), "mode 'La', premultiplied"),
        (Image.new("RGB", (0, 5)), "an empty one of 5×0"),
    ],
)
def test_pil_images_that_are_refused(image, words):
    with pytest.raises(ImageError, match=words):
        as_rgb(image)


def test_a_pil_image_of_a_file_that_is_cut_short():
    image = Image.open(io.BytesIO(encoded(PHOTO, "PNG")[:1000]))
    with pytest.raises(ImageError, match="cannot read this PIL image of mode 'RGB'"):
        as_rgb(image)


def test_a_pil_image_keeps_its_own_pixels_and_warns_of_an_orientation():
    image = Image.open(io.BytesIO(with_orientation("PNG", 6)))
    with pytest.warns(UserWarning, match=r"orientation 6, which is not applied.*exif_transpose"):
        np.testing.assert_array_equal(as_rgb(image), np.asarray(image))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_rgb(ImageOps.exif_transpose(image)).shape == (64, 48, 3)
        as_rgb(Image.open(io.BytesIO(with_orientation("PNG", 1))))


def test_a_pil_image_of_several_frames_gives_the_present_one():
    frames = [PHOTO.quantize(64), PHOTO.rotate(180).quantize(64)]
    image = Image.open(io.BytesIO(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    for number in (1, 0):
        image.seek(number)
        np.testing.assert_array_equal(as_rgb(image), np.asarray(image.convert("RGB")))


def test_predictor_takes_pil_images_as_rgb_only(toy):
    predictor = Predictor(toy)
    predictor.set_image(PHOTO.quantize(64))
    with pytest.raises(ValueError, match="a PIL image is RGB"):
        predictor.set_image(PHOTO, "BGR")


def test_pillow_is_not_imported():
    code = "import sys, numpy as np; from mfp.engine.image import as_rgb; as_rgb(np.zeros((4, 4, 3), np.uint8)); "
    assert run([sys.executable, "-c", f"{code} assert 'PIL' not in sys.modules"], check=False).returncode == 0


# Initial masks


INSIDE = np.zeros((48, 64), bool)
INSIDE[10:20, 5:50] = True


def palette_mask(*colours):
    image = Image.fromarray(INSIDE.astype(np.uint8))
    image.putpalette([value for colour in colours for value in colour])
    return image


@pytest.mark.parametrize(
    "mask",
    [
        INSIDE, INSIDE.astype(np.uint8), INSIDE * np.uint8(255), INSIDE.astype(">i4"), INSIDE.astype(float),
        INSIDE.astype(np.float32) * 255, INSIDE.tolist(), Image.fromarray(INSIDE),
        Image.fromarray(INSIDE * np.uint8(255)),
        palette_mask((0, 0, 0), (255, 0, 0)), np.ma.MaskedArray(INSIDE),
    ],
)  # fmt: skip
def test_initial_masks(mask):
    np.testing.assert_array_equal(as_initial_mask(mask, 48, 64), INSIDE)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (None, "an initial mask, got None"),
        ("mask.png", "the path 'mask.png'"),
        (INSIDE * np.uint8(3), r"uint8 with other values.*mask == label"),
        (INSIDE * np.uint16(65535), "uint16 with other values"),
        (INSIDE * np.int8(-1), "int8 with other values"),
        (INSIDE * 0.7, r"float64 with other values; .*mask > 0\.5"),
        (np.where(INSIDE, np.nan, 0), "float64 with other values"),
        (INSIDE.astype(complex), "bool or numbers, got complex128"),
        (INSIDE.astype(object), "of object"),
        (INSIDE[..., None], r"48×64×1; pass mask\.squeeze\(\)"),
        (INSIDE[None], r"1×48×64; pass mask\.squeeze\(\)"),
        (np.dstack([INSIDE] * 3), "48×64×3; pass the one channel"),
        (INSIDE.T, r"rows and columns swapped, so pass mask\.T"),
        (INSIDE[:40], "image's 48×64, got 40×64"),
        (np.ma.masked_equal(INSIDE.astype(int), 1), "without masked pixels"),
        (Image.fromarray(RGB), r'mode \'RGB\': pass mask\.convert\("L"\)'),
        (TRANSPARENT, r'getchannel\("A"\)'),
        (palette_mask((255, 255, 255), (0, 0, 0)), "black at index 0"),
    ],
)
def test_initial_masks_that_are_refused(mask, words):
    with pytest.raises(ImageError, match=words):
        as_initial_mask(mask, 48, 64)
