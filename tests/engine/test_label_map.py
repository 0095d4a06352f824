"""Each row of the table of masks and label maps in docs/images.md, with Pillow as the independent truth."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from mfp.engine.errors import DatasetError
from mfp.engine.image_files.label_map import decode_label_map, read_label_map

SHAPE = (12, 17)
LABELS = np.random.default_rng(0).integers(0, 6, SHAPE).astype(np.uint8)
LABELS[0, :6] = np.arange(6)
INSIDE = LABELS > 3
COLOURS = np.random.default_rng(1).integers(1, 255, (256, 3), np.uint8)
COLOURS[0] = 0


def encoded(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def by_opencv(ending, array):
    done, data = cv2.imencode(ending, np.ascontiguousarray(array))
    assert done
    return data.tobytes()


def indexed(labels, colours):
    image = Image.fromarray(labels)
    image.putpalette(np.asarray(colours, np.uint8).ravel().tolist())
    assert image.mode == "P"
    return image


def voc():
    palette = np.zeros((256, 3), np.uint8)
    for index in range(256):
        for level in range(8):
            for channel in range(3):
                palette[index, channel] |= (index >> (3 * level + channel) & 1) << (7 - level)
    return palette


def whole_range(colours):
    return indexed(np.arange(256, dtype=np.uint8).reshape(16, 16), colours)


MAPS = {
    "grey PNG": encoded(Image.fromarray(LABELS), "PNG"),
    "grey BMP": encoded(Image.fromarray(LABELS), "BMP"),
    "grey TIFF": encoded(Image.fromarray(LABELS), "TIFF"),
    "lossless WebP": encoded(Image.fromarray(LABELS).convert("RGB"), "WEBP", lossless=True),
    "16-bit PNG": by_opencv(".png", LABELS.astype(np.uint16)),
    "16-bit TIFF": by_opencv(".tiff", LABELS.astype(np.uint16)),
    "signed 16-bit TIFF": by_opencv(".tiff", LABELS.astype(np.int16)),
    "signed 32-bit TIFF": by_opencv(".tiff", LABELS.astype(np.int32)),
    "grey as RGB": encoded(Image.fromarray(LABELS).convert("RGB"), "PNG"),
    "grey and opaque alpha": encoded(Image.fromarray(LABELS).convert("LA"), "PNG"),
    "RGBA TIFF with alpha": encoded(Image.fromarray(np.dstack([LABELS] * 3 + [LABELS * 30])), "TIFF"),
    "palette PNG, VOC": encoded(indexed(LABELS, voc()), "PNG"),
    "palette PNG": encoded(indexed(LABELS, COLOURS), "PNG"),
    "palette PNG of 4 bits": encoded(indexed(LABELS, COLOURS[:16]), "PNG", bits=4),
    "palette PNG with transparency": encoded(indexed(LABELS, COLOURS), "PNG", transparency=0),
    "palette PNG whose colours are all alike": encoded(indexed(LABELS, np.zeros((256, 3))), "PNG"),
    "palette PNG of greys": encoded(indexed(LABELS, np.repeat(np.arange(256)[:, None], 3, 1)), "PNG"),
    "palette PNG of greys far apart": encoded(indexed(LABELS, np.repeat(np.arange(6)[:, None] * 51, 3, 1)), "PNG"),
    "palette PNG without black": encoded(indexed(LABELS, COLOURS[1:]), "PNG"),
    "palette TIFF": encoded(indexed(LABELS, COLOURS), "TIFF"),
    "palette TIFF, LZW": encoded(indexed(LABELS, COLOURS), "TIFF", compression="tiff_lzw"),
    "palette BMP": encoded(indexed(LABELS, COLOURS), "BMP"),
}


@pytest.mark.parametrize("name", MAPS)
def test_values_are_what_was_saved(name):
    np.testing.assert_array_equal(decode_label_map(MAPS[name], name), LABELS)


@pytest.mark.parametrize("colours", [voc(), COLOURS, COLOURS[::-1] | 1])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_all_indices_of_a_palette(kind, colours):
    data = encoded(whole_range(colours), kind)
    np.testing.assert_array_equal(decode_label_map(data, "map"), np.asarray(Image.open(io.BytesIO(data))))


def test_an_index_of_vocs_palette_that_is_grey_is_an_index():
    labels = INSIDE.astype(np.uint8) * 7  # (128, 128, 128) in that palette
    np.testing.assert_array_equal(decode_label_map(encoded(indexed(labels, voc()), "PNG"), "map"), labels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_trimap_that_was_saved_with_a_palette_keeps_its_greys(kind):
    places = np.array([1, 2, 0], np.uint8)[LABELS % 3]
    data = encoded(indexed(places, [(128,) * 3, (0,) * 3, (255,) * 3]), kind)
    np.testing.assert_array_equal(decode_label_map(data, "map"), np.array([0, 255, 128])[LABELS % 3])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_masks_of_one_bit(kind):
    np.testing.assert_array_equal(decode_label_map(encoded(Image.fromarray(INSIDE), kind), "mask") > 0, INSIDE)


def oriented(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(LABELS), kind, exif=exif)


REFUSED = {
    "JPEG": (lambda: encoded(Image.fromarray(LABELS), "JPEG"), "JPEG compression changes values.*save it anew as PNG"),
    "lossy WebP": (lambda: encoded(Image.fromarray(LABELS).convert("RGB"), "WEBP"), "WebP compression changes values"),
    "JPEG in TIFF": (
        lambda: encoded(Image.fromarray(LABELS), "TIFF", compression="jpeg"),
        "TIFF compression changes values",
    ),
    "negative": (lambda: by_opencv(".tiff", LABELS.astype(np.int16) - 1), "int16 values down to -1"),
    "float": (lambda: by_opencv(".tiff", LABELS.astype(np.float32)), "float values of 32 bits"),
    "turned": (lambda: oriented("PNG"), "EXIF orientation 6"),
    "turned TIFF": (lambda: oriented("TIFF"), "EXIF orientation 6"),
    "pages": (
        lambda: encoded(Image.fromarray(LABELS), "TIFF", save_all=True, append_images=[Image.fromarray(LABELS)]),
        "2 pages or frames",
    ),
    "white is 0": (lambda: encoded(Image.fromarray(LABELS), "TIFF", tiffinfo={262: 0}), "0 is white in it"),
    "object in alpha": (
        lambda: encoded(Image.fromarray(np.dstack([LABELS * 0] * 3 + [INSIDE * np.uint8(255)])), "PNG"),
        "in its alpha channel",
    ),
    "object in alpha of grey": (
        lambda: encoded(Image.fromarray(np.dstack([LABELS * 0, INSIDE * np.uint8(255)])), "TIFF"),
        "in its alpha channel",
    ),
    "colours behind a palette": (
        lambda: encoded(indexed(LABELS, [(9, 9, 9), (1, 2, 3), (0, 0, 0), (4, 5, 6), (7, 8, 9), (9, 9, 1)]), "PNG"),
        "black is not index 0 of its palette",
    ),
    "cut short": (lambda: encoded(Image.fromarray(LABELS), "PNG")[:-20], "cut short"),
    "empty": (lambda: b"", "the file is empty"),
    "DICOM": (lambda: bytes(128) + b"DICM", "got a DICOM file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_label_map_is_said(name, tmp_path):
    make, words = REFUSED[name]
    (tmp_path / "map.png").write_bytes(make())
    with pytest.raises(DatasetError, match=rf"map\.png is no mask that can be read: .*{words}") as caught:
        read_label_map(tmp_path / "map.png")
    assert str(caught.value).count("map.png") == 1


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read .*map\.png: No such file"):
        read_label_map(tmp_path / "map.png")


def test_a_palette_that_is_longer_or_shorter_than_its_indices():
    data = encoded(indexed(LABELS, COLOURS), "PNG")
    place = data.index(b"PLTE")
    (length,) = struct.unpack(">I", data[place - 4 : place])
    assert length >= 18
    short = data[: place - 4] + struct.pack(">I", 9) + data[place : place + 13] + bytes(4) + data[place + 8 + length :]
    np.testing.assert_array_equal(decode_label_map(short, "map"), LABELS)
