"""Photographs from strangers."""

import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mfp.engine.errors import ImageError
from mfp.engine.image import read_image
from mfp.serve.errors import TooLargeError
from mfp.serve.uploads import BYTES, MEDIA_TYPES, DecodingRoom, check_header, decode_upload

LIMIT = 300_000  # pixels; the sample has 262,144
KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")


@pytest.fixture(scope="module")
def files(sample):
    """By kind: a small photograph's file."""
    photograph = Image.open(io.BytesIO(sample)).resize((64, 48))
    return {kind: encoded(photograph, kind) for kind in KINDS}


def encoded(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def bomb(width, height, rows=b""):
    """A PNG file of some hundred bytes that says it has this many pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_decoded_is_what_read_image_reads(files, kind, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(files[kind])
    pixels, media_type = decode_upload(files[kind], LIMIT)
    assert np.array_equal(pixels, read_image(path))
    assert media_type == MEDIA_TYPES[kind]


def test_upright_by_exif(sample):
    image = Image.open(io.BytesIO(sample)).crop((0, 0, 60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it right
    pixels, _ = decode_upload(encoded(image, "JPEG", exif=exif), LIMIT)
    assert pixels.shape == (60, 40, 3)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (LIMIT + 1, 1), (1000, 301)])
def test_bombs_are_refused_before_they_are_decoded(width, height):
    with pytest.raises(TooLargeError, match="at most 300,000 pixels"):
        decode_upload(bomb(width, height), LIMIT)


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 10_000])
def test_a_chunk_that_is_longer_than_its_file(files, length):
    png = files["PNG"]
    assert png[37:41] == b"IDAT"
    with pytest.raises(ImageError, match="damaged"):  # and not after gigabytes were reserved for it
        decode_upload(png[:33] + struct.pack(">I", length) + png[37:], LIMIT)
    for missing in (1, 11, 12, 13, 100):
        with pytest.raises(ImageError):
            decode_upload(png[:-missing], LIMIT)


def test_a_jpeg_of_too_many_scans(sample):
    progressive = encoded(Image.open(io.BytesIO(sample)), "JPEG", progressive=True)
    decode_upload(progressive, LIMIT)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageError, match="damaged"):
        decode_upload(progressive[:-2] + scan * 100 + progressive[-2:], LIMIT)


@pytest.mark.parametrize("kind", ["GIF", "ICO", "PPM", "TGA", "JPEG2000", "AVIF"])
def test_other_formats_are_refused(sample, kind):
    try:
        data = encoded(Image.open(io.BytesIO(sample)).resize((32, 32)), kind)
    except (KeyError, OSError):
        pytest.skip(f"Pillow writes no {kind} here")
    with pytest.raises(ImageError, match="expected a JPEG, PNG, WebP, TIFF or BMP file"):
        decode_upload(data, LIMIT)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4"]
)
def test_no_images(data):
    with pytest.raises(ImageError, match="expected a JPEG"):
        decode_upload(data, LIMIT)


def outcome(data):
    """Whatever comes: pixels within the limit, or an error of ours."""
    try:
        pixels, media_type = decode_upload(data, LIMIT)
    except (ImageError, TooLargeError):
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[0] * pixels.shape[1] <= LIMIT
    assert media_type in MEDIA_TYPES.values()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_pixels_or_an_error(files, kind):
    whole = files[kind]

    # Mostly in the header: what follows is compressed, and its decoders skip what they do not understand.
    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(st.one_of(st.integers(0, 200), st.integers(0, len(whole) - 1)), st.integers(0, 255)), max_size=6
        ),
        st.one_of(st.none(), st.integers(0, len(whole))),
        st.binary(max_size=20),
    )
    @example([], None, b"")
    def damage(changes, cut, tail):
        data = bytearray(whole)
        for place, value in changes:
            data[min(place, len(data) - 1)] = value
        outcome(bytes(data[:cut]) + tail)

    damage()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"RIFF"]))
def test_noise_behind_a_signature(noise, signature):
    outcome(signature + noise)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=100))
def test_sizes_that_lie(width, height, rows):
    outcome(bomb(width, height, rows))


def test_headers_are_read_without_decoding(sample):
    assert check_header(sample[:1000], LIMIT) == "image/jpeg"


def test_photographs_in_decoding_share_the_memory(sample):
    """Four at a time find room for two; a fifth that is larger than all of it goes alone."""
    pixels = 512 * 512
    room = DecodingRoom(2 * pixels * BYTES)
    large = encoded(Image.open(io.BytesIO(sample)).resize((1024, 1024)), "JPEG")
    seen, together = [], threading.Barrier(2)

    def work(data):
        with room.decoded(data, 4 * pixels) as (decoded, _):
            seen.append(room.taken)
            if decoded.shape[0] == 512:
                together.wait(60)  # two are in it at a time, or this ends with an error
            seen.append(room.taken)

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(work, data) for data in (sample, sample, large, sample, sample)]:
            done.result()
    assert max(seen) == 4 * pixels * BYTES  # the large one's
    assert set(seen) <= {pixels * BYTES, 2 * pixels * BYTES, 4 * pixels * BYTES}
    assert room.taken == 0
    with pytest.raises(ImageError), room.decoded(b"nothing", pixels):
        pass
    with pytest.raises(TooLargeError), room.decoded(large, pixels):
        pass
    assert room.taken == 0


def test_sessions_make_room_for_a_photograph_in_decoding(tmp_path, toy, small, sample):
    from mfp.serve.sessions.manager import Sessions
    from mfp.serve.settings import Limits
    from mfp.serve.stores.sqlite import SqliteStore

    sessions = Sessions({"toy": toy}, SqliteStore(tmp_path / "sessions.sqlite"), Limits(memory=40_000_000))
    for _ in range(3):
        sessions.create(small(500, 500))
    assert sessions.counts()["live"] == 3
    large = encoded(Image.open(io.BytesIO(sample)).resize((1900, 1700)), "JPEG")
    with sessions._decoding.decoded(large, 50_000_000):
        # 38.8 of 40 MB are taken; the newest session is left, as always
        assert sessions.counts()["live"] == 1
    sessions.close()
