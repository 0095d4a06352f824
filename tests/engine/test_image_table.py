"""Files of pictures: each row of their table in docs/images.md, with Pillow as the judge."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mfp import read_image
from mfp.engine.errors import ImageError
from mfp.engine.image import decode_image
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
    for order in "<>":
        yield f"TIFF {order}", tiff(RGB, order)
        yield f"TIFF {order} planes", tiff(ALPHA, order, planes=True)
        yield f"TIFF {order} 16 bits", tiff(DEEP, order)
        yield f"TIFF {order} 8 bits and alpha", tiff(ALPHA, order)
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


def tiff(array, order="<", planes=False):
    """An uncompressed RGB or RGBA TIFF, which Pillow cannot write: in either byte order, pixels or planes."""
    height, width, channels = array.shape
    array = array.astype(array.dtype.newbyteorder(order))
    parts = [array[..., c].tobytes() for c in range(channels)] if planes else [array.tobytes()]
    bits, long, short = 8 * array.dtype.itemsize, "I", "H"
    tags = [
        (256, long, [width]), (257, long, [height]), (258, short, [bits] * channels), (259, short, [1]),
        (262, short, [2]), (273, long, [0] * len(parts)), (277, short, [channels]), (278, long, [height]),
        (279, long, [len(part) for part in parts]), (284, short, [1 + planes]),
    ] + [(338, short, [2])] * (channels == 4)  # fmt: skip
    at = 10 + 12 * len(tags) + 4
    outside = sum(size for _, kind, values in tags if (size := struct.calcsize(f"={len(values)}{kind}")) > 4)
    entries, far = b"", b""
    for tag, kind, values in tags:
        if tag == 273:
            values = [at + outside + number * len(parts[0]) for number in range(len(parts))]
        raw = struct.pack(f"{order}{len(values)}{kind}", *values)
        head = struct.pack(f"{order}HHI", tag, 3 if kind == short else 4, len(values))
        entries += head + (raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack(f"{order}I", at + len(far)))
        far += raw if len(raw) > 4 else b""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return start + entries + bytes(4) + far + b"".join(parts)


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
    "TIFF of planes of 16 bits": (lambda: tiff(DEEP, planes=True), "planes of 16 bits, one for each colour"),
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


def test_a_known_file_is_read_whatever_the_rules_say():
    for name, data in FILES.items():
        np.testing.assert_array_equal(decode_image(data, known=True), decode_image(data), err_msg=name)
    for name in ("TIFF of pages", "APNG", "WebP animation"):
        np.testing.assert_array_equal(decode_image(REFUSED[name][0](), known=True), RGB, err_msg=name)
    for name in ("TIFF int16", "TIFF LAB", "TIFF premultiplied"):
        assert decode_image(REFUSED[name][0](), known=True).shape == RGB.shape
    assert decode_image(by_opencv(".png", DEEP >> 4), known=True).max() == 15
    for data in (b"", b"no picture"):
        with pytest.raises(ImageError, match="is no image that can be read"):
            decode_image(data, known=True)


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
