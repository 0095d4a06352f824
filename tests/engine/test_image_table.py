"""Each row of the tables in docs/images.md, with Pillow as the independent truth."""

import io
import struct
import sys
import warnings
import zlib
from subprocess import run

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mfp import Predictor, Session, read_image
from mfp.engine.errors import ImageError
from mfp.engine.image import as_initial_mask, as_rgb, decode_image
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


def by_opencv(ending, array):
    done, data = cv2.imencode(ending, np.ascontiguousarray(array[..., ::-1] if array.ndim == 3 else array))
    assert done
    return data.tobytes()


def truth(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)


def with_orientation(kind, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PHOTO, kind, exif=exif, **options)


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


# Files


def files():
    for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP"):
            options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
            try:
                yield f"{kind} {mode}", encoded(TRANSPARENT.convert(mode), kind, **options)
            except OSError:  # a mode that this kind does not have
                continue
    for bits in (1, 2, 4, 8):
        yield f"PNG palette of {bits} bits", encoded(PHOTO.quantize(2**bits), "PNG", bits=bits)
    yield "PNG palette with transparency", encoded(PHOTO.quantize(64), "PNG", transparency=3)
    yield "TIFF palette", encoded(PHOTO.quantize(64), "TIFF")
    yield "BMP palette", encoded(PHOTO.quantize(64), "BMP")
    yield "TIFF white is 0", encoded(Image.fromarray(255 - RGB[:, :, 0]), "TIFF", tiffinfo={262: 0})
    yield "TIFF of many strips", encoded(PHOTO, "TIFF", tiffinfo={278: 5}, compression="tiff_lzw")
    yield "TIFF big endian", big_endian_tiff(RGB)
    yield "BigTIFF", encoded(PHOTO, "TIFF", big_tiff=True)
    yield "PNG 16 bits", by_opencv(".png", DEEP)
    yield "TIFF 16 bits", by_opencv(".tiff", DEEP)
    yield "TIFF 16 bits and alpha", by_opencv(".tiff", np.dstack([DEEP[..., ::-1], DEEP[..., :1]])[..., ::-1])
    yield "JPEG progressive", encoded(PHOTO, "JPEG", progressive=True)
    adobe = encoded(PHOTO.convert("CMYK"), "JPEG")
    place = adobe.index(b"Adobe")
    yield "JPEG YCCK", adobe[: place + 11] + b"\2" + adobe[place + 12 :]
    for orientation in range(1, 9):
        for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
            options = {"lossless": True} if kind == "WEBP" else {}
            yield f"{kind} orientation {orientation}", with_orientation(kind, orientation, **options)


def big_endian_tiff(array):
    """A TIFF in the other byte order, uncompressed RGB."""
    height, width = array.shape[:2]
    deep = array.dtype.itemsize
    tags = [
        (256, 4, 1, struct.pack(">I", width)), (257, 4, 1, struct.pack(">I", height)),
        (258, 3, 3, struct.pack(">I", 134)), (259, 3, 1, struct.pack(">HH", 1, 0)),
        (262, 3, 1, struct.pack(">HH", 2, 0)),
        (273, 4, 1, struct.pack(">I", 140)), (277, 3, 1, struct.pack(">HH", 3, 0)),
        (278, 4, 1, struct.pack(">I", height)), (279, 4, 1, struct.pack(">I", array.nbytes)),
        (284, 3, 1, struct.pack(">HH", 1, 0)),
    ]  # fmt: skip
    entries = b"".join(struct.pack(">HHI", *tag[:3]) + tag[3] for tag in tags)
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + struct.pack(">I", 0)
    return head + struct.pack(">3H", *[8 * deep] * 3).rjust(6) + array.astype(array.dtype.newbyteorder(">")).tobytes()


FILES = dict(files())


@pytest.mark.parametrize("name", FILES)
def test_files_are_what_pillow_reads(name):
    found, expected = decode_image(FILES[name]).astype(int), truth(FILES[name])
    assert found.shape == expected.shape
    # CMYK and YCbCr are converted by arithmetic of a library's own, one level apart; never another picture.
    assert np.abs(found - expected).max() <= (2 if any(m in name for m in ("CMYK", "YCbCr", "YCCK")) else 0)


def test_grey_of_16_bits_is_the_upper_byte():
    # Pillow clips such files at 255, so it is no judge here
    for ending in (".png", ".tiff"):
        grey = DEEP[:, :, 0] + np.uint16(40)
        np.testing.assert_array_equal(decode_image(by_opencv(ending, grey))[:, :, 1], grey >> 8)


def animated(kind, **options):
    return encoded(PHOTO, kind, save_all=True, append_images=[PHOTO.rotate(180)], **options)


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_16_are_refused_and_not_dark(ending, bits):
    for values in (DEEP >> (16 - bits), DEEP[:, :, 0] >> (16 - bits)):
        with pytest.raises(ImageError, match=rf"16 bits .* its values use {bits} .*white is not known"):
            decode_image(by_opencv(ending, values))
    black = decode_image(by_opencv(ending, np.zeros((5, 6), np.uint16)))
    np.testing.assert_array_equal(black, np.zeros((5, 6, 3)))


def lab():
    cms = pytest.importorskip("PIL.ImageCms")
    srgb, lab = cms.createProfile("sRGB"), cms.createProfile("LAB")
    return encoded(cms.applyTransform(PHOTO, cms.buildTransform(srgb, lab, "RGB", "LAB")), "TIFF")


def packed_tiff(bits):
    """A TIFF whose tag says that it has so many bits."""
    data = encoded(Image.fromarray(RGB[:, :, 0]), "TIFF")
    place = data.index(struct.pack("<HHI", 258, 3, 1)) + 8
    return data[:place] + struct.pack("<H", bits) + data[place + 2 :]


def premultiplied_tiff():
    data = encoded(TRANSPARENT, "TIFF")
    place = data.index(struct.pack("<HHI", 338, 3, 1)) + 8
    return data[:place] + b"\1" + data[place + 1 :]


def jpeg_of_12_bits():
    data = bytearray(encoded(PHOTO, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


REFUSED = {
    "TIFF int8": (lambda: by_opencv(".tiff", RGB.astype(np.int8)), "signed values of 8 bits"),
    "TIFF int16": (lambda: by_opencv(".tiff", RGB.astype(np.int16)), "signed values of 16 bits"),
    "TIFF int32": (lambda: by_opencv(".tiff", RGB.astype(np.int32)), "signed values of 32 bits"),
    "TIFF I": (lambda: encoded(Image.fromarray(RGB[:, :, 0].astype(np.int32)), "TIFF"), "signed values of 32 bits"),
    "TIFF F": (lambda: encoded(PHOTO.convert("F"), "TIFF"), "float values of 32 bits"),
    "TIFF float64": (lambda: by_opencv(".tiff", RGB / 255), "float values of 64 bits"),
    "TIFF LAB": (lab, r"CIE L\*a\*b\*, which is not converted"),
    "TIFF of 12 packed bits": (lambda: packed_tiff(12), "unsigned values of 12 bits"),
    "TIFF premultiplied": (premultiplied_tiff, "multiplied by their alpha"),
    "TIFF of pages": (lambda: animated("TIFF"), "2 pages or frames; expected one picture"),
    "APNG": (lambda: animated("PNG"), "2 pages or frames"),
    "WebP animation": (lambda: animated("WEBP", lossless=True), "2 pages or frames"),
    "GIF": (lambda: encoded(PHOTO.quantize(64), "GIF"), "expected JPEG, PNG, WebP, TIFF or BMP, got a GIF file"),
    "JPEG of 12 bits": (jpeg_of_12_bits, "unsigned values of 12 bits"),
    "empty": (lambda: b"", r"the file is empty \(0 bytes\)"),
    "PDF": (lambda: b"%PDF-1.7 and so on", "got a PDF file"),
    "DICOM": (lambda: bytes(128) + b"DICM" + bytes(9), "got a DICOM file"),
    "text": (lambda: b"photo.jpg\n", "got 10 bytes of something else"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(name, tmp_path):
    make, words = REFUSED[name]
    (tmp_path / "scan.png").write_bytes(make())
    with pytest.raises(ImageError, match=words) as caught:
        read_image(tmp_path / "scan.png")
    assert "scan.png" in str(caught.value)


def test_a_thumbnail_is_no_page():
    small = PHOTO.resize((8, 6))
    pages = encoded(PHOTO, "TIFF", save_all=True, append_images=[small], tiffinfo={254: 1})  # "a reduced picture"
    assert Image.open(io.BytesIO(pages)).n_frames == 2
    np.testing.assert_array_equal(decode_image(pages), RGB)


@pytest.mark.parametrize(
    "data",
    [
        encoded(PHOTO, "JPEG"), encoded(PHOTO, "JPEG", progressive=True), encoded(PHOTO, "PNG"), encoded(PHOTO, "TIFF"),
        encoded(PHOTO, "TIFF", compression="tiff_lzw"), encoded(PHOTO, "WEBP"), encoded(PHOTO, "WEBP", lossless=True),
        encoded(PHOTO, "BMP"), encoded(PHOTO.quantize(64), "BMP"),
    ],
    ids=["JPEG", "progressive", "PNG", "TIFF", "LZW", "WebP", "lossless", "BMP", "palette"],
)  # fmt: skip
def test_files_cut_anywhere_are_refused(data):
    decode_image(data)
    for share in (0.999, 0.98, 0.9, 0.7, 0.5, 0.3, 0.1, 0.01):
        with pytest.raises(ImageError, match=r"cut short|damaged|something else"):
            decode_image(data[: int(share * len(data))])
    with pytest.raises(ImageError, match="cut short"):
        decode_image(data[:-1])


def test_what_follows_a_whole_file_is_left_alone():
    jpeg = encoded(PHOTO, "JPEG")  # phones append gain maps
    np.testing.assert_array_equal(decode_image(jpeg + jpeg + b"\0" * 9), decode_image(jpeg))


def test_a_jpeg_that_has_no_end_is_found_behind_its_thumbnail(tmp_path):
    thumbnail = encoded(PHOTO.resize((16, 12)), "JPEG")
    whole = encoded(PHOTO, "JPEG")
    segment = b"Exif\0\0" + thumbnail
    data = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]
    np.testing.assert_array_equal(decode_image(data), decode_image(whole))
    with pytest.raises(ImageError, match="cut short"):
        decode_image(data[:-200])


def test_the_ending_of_a_name_says_nothing(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(encoded(PHOTO, "PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "photo.jpg"), RGB)


def test_a_colour_profile_is_left_out_as_pillow_leaves_it_out():
    cms = pytest.importorskip("PIL.ImageCms")
    profile = cms.ImageCmsProfile(cms.createProfile("XYZ")).tobytes()
    np.testing.assert_array_equal(decode_image(encoded(PHOTO, "PNG", icc_profile=profile)), RGB)


def test_a_known_file_is_read_as_before():
    data = animated("PNG")
    np.testing.assert_array_equal(decode_image(data, known=True), RGB)


def test_one_pixel():
    for kind in ("PNG", "TIFF", "BMP"):
        assert decode_image(encoded(PHOTO.crop((0, 0, 1, 1)), kind)).tolist() == [[RGB[0, 0].tolist()]]


def test_a_png_of_too_many_pixels_is_said():
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(ImageError, match="damaged"):
        decode_image(data)


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
