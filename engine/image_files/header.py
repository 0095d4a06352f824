"""Reader of image file headers: kind, size, depth, pages, alpha and palette, without decoding and without Pillow."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ImageError

KINDS = "JPEG, PNG, WebP, TIFF or BMP"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OTHERS = {  # other kinds, named in the error message
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"DICM": "a DICOM",
    b"<svg": "an SVG",
    b"<?xm": "an XML",
    b"8BPS": "a Photoshop",
    b"v/1\x01": "an OpenEXR",
}
_BOXES = {b"avif": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIC", b"crx ": "a raw camera"}
# Marker within a JPEG file's compressed data: neither a stuffed byte nor a restart.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # TIFF's integer types
_NUMBERS = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned"}
_BASE = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}  # number of colour channels by TIFF's photometric interpretation
_TAGS = {254, 256, 257, 258, 259, 262, 273, 274, 277, 279, 284, 320, 324, 325, 338, 339}
_MOST = 1 << 16  # maximum parts of a file that are read: a hostile file could have millions


@dataclass(frozen=True)
class Header:
    """Properties of an image file, read from its header.

    Attributes:
        kind: file format, one of :data:`KINDS`.
        width, height: size in stored pixels, before the orientation is applied.
        bits: number of bits of a channel, or of a palette's index.
        numbers: number type, ``"unsigned"``, ``"signed"`` or ``"float"``.
        pages: number of pages or frames; a TIFF's thumbnails do not count.
        orientation: EXIF orientation, 1 to 8.
        alpha: kind of alpha, ``""``, ``"straight"`` or ``"premultiplied"``.
        lossy: True if decoded values differ from the saved ones.
        whole: False if the file ends too early.
        colours: name of a colour model that is not converted here, else ``""``.
        inverted: True if 0 is white (TIFF).
        palette: position of the file's colour table as (first byte, number of entries), None if it has none.
        extra: position of the first byte of the value of TIFF's ExtraSamples.
        big_endian: byte order of a TIFF.
    """

    kind: str
    width: int
    height: int
    bits: int = 8
    numbers: str = "unsigned"
    pages: int = 1
    orientation: int = 1
    alpha: str = ""
    lossy: bool = False
    whole: bool = True
    colours: str = ""
    inverted: bool = False
    palette: tuple[int, int] | None = None
    extra: int | None = None
    big_endian: bool = False


def read_header(data: bytes) -> Header:
    """Read the header of an image file.

    Raises:
        ImageError: the file is none of :data:`KINDS`, or its header is damaged; the message holds only the reason.
    """
    if not data:
        raise ImageError("the file is empty (0 bytes)")
    for signature, read in _READERS:
        if signature.match(data):
            try:
                header: Header = read(data)
                return header
            except (struct.error, IndexError, KeyError, ValueError):  # ImageError is also a ValueError
                raise ImageError(f"its header is damaged or cut short ({len(data):,} bytes)") from None
    found = next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        found = _BOXES.get(data[8:12], "an HEIF or video")
    elif data[128:132] == b"DICM":
        found = "a DICOM"
    raise ImageError(f"expected {KINDS}, got {f'{found} file' if found else f'{len(data):,} bytes of something else'}")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and length of the content of each chunk that lies within the file."""
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + length > len(data):
            return
        yield data[place + 4 : place + 8], place + 8, length
        place += 12 + length


def _png(data: bytes) -> Header:
    width, height, bits, colours = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR" or (colours == 3 and bits > 8):
        raise IndexError
    header = Header("PNG", width, height, bits, whole=False, alpha="straight" if colours in (4, 6) else "")
    for name, start, length in png_chunks(data):
        if name == b"PLTE" and colours == 3:
            header = replace(header, palette=(start, length // 3))
        elif name == b"tRNS" and colours != 3:
            header = replace(header, alpha="straight")
        elif name == b"acTL":
            header = replace(header, pages=int.from_bytes(data[start : start + 4], "big"))
        elif name == b"eXIf":
            header = replace(header, orientation=_orientation(data[start : start + length]))
        elif name == b"IEND":
            return replace(header, whole=True)
    return header


def _jpeg(data: bytes) -> Header:
    place, header, turned = 2, None, 1
    for _ in range(_MOST):
        found = _MARKER.search(data, place)
        if not found:
            break
        marker, place = found[1][0], found.end()
        if marker == 0xD9 and header is not None:
            return replace(header, orientation=turned)
        if marker in (0x01, 0xD8, 0xD9):
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width = struct.unpack_from(">BHH", data, place + 2)
            header = Header("JPEG", width, height, bits, lossy=True)
        elif marker == 0xE1 and data[place + 2 : place + 8] == b"Exif\0\0":
            turned = _orientation(data[place + 8 : place + length])
        place += length
    if header is None:
        raise ImageError(f"its header is damaged or cut short ({len(data):,} bytes)")
    return replace(header, orientation=turned, whole=False)


def _webp(data: bytes) -> Header:
    end = 8 + int.from_bytes(data[4:8], "little")
    header, frames, place = Header("WebP", 0, 0), 0, 12
    for _ in range(_MOST):
        if place + 8 > min(end, len(data)):
            break
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        start = place + 8
        if name == b"VP8X":
            size = [1 + int.from_bytes(data[start + at : start + at + 3], "little") for at in (4, 7)]
            alpha = "straight" if data[start] & 0x10 else ""
            header = replace(header, width=size[0], height=size[1], alpha=alpha)
        elif name == b"ANMF":
            frames += 1
        elif name == b"EXIF":
            block = data[start : start + length]
            header = replace(header, orientation=_orientation(block.removeprefix(b"Exif\0\0")))
        elif name == b"VP8 ":
            width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, start + 6))
            header = replace(header, lossy=True, width=header.width or width, height=header.height or height)
        elif name == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, start + 1)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            header = replace(header, width=header.width or width, height=header.height or height)
            if bits >> 28 & 1:
                header = replace(header, alpha="straight")
        place = start + length + length % 2
    return replace(header, pages=max(frames, 1), whole=len(data) >= end)


def _bmp(data: bytes) -> Header:
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = used = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        used = struct.unpack_from("<I", data, 46)[0]
    height = abs(height)
    needed = offset + (width * bits + 31) // 32 * 4 * height if compression in (0, 3, 6) else offset + 1
    palette = None
    if bits <= 8:
        room = (offset - 14 - size) // (3 if size == 12 else 4)
        palette = (14 + size, max(min(used or 1 << bits, 1 << bits, room), 0))
    colours = "5 bits a channel" if bits == 16 else ""
    return Header("BMP", width, height, min(bits, 8), whole=len(data) >= needed, colours=colours, palette=palette)


class _Tags:
    """Directories of a TIFF file or of an EXIF block: tag → numbers, and their positions."""

    def __init__(self, data: bytes) -> None:
        self.data, self.end = data, ">" if data[:2] == b"MM" else "<"
        self.big = struct.unpack_from(self.end + "H", data, 2)[0] == 43
        self.first = struct.unpack_from(self.end + ("Q" if self.big else "I"), data, 8 if self.big else 4)[0]

    def read(self, place: int) -> tuple[dict[int, tuple[int, list[int]]], int]:
        """Read the tags of the directory at a byte, and the byte of the next directory; 0 for none."""
        entry, word = (20, "Q") if self.big else (12, "I")
        (count,) = struct.unpack_from(self.end + ("Q" if self.big else "H"), self.data, place)
        place += 8 if self.big else 2
        tags: dict[int, tuple[int, list[int]]] = {}
        if count * entry > len(self.data):
            raise IndexError
        for at in range(place, place + count * entry, entry):
            tag, kind = struct.unpack_from(self.end + "HH", self.data, at)
            (number,) = struct.unpack_from(self.end + word, self.data, at + 4)
            start, room = (at + 12, 8) if self.big else (at + 8, 4)
            if tag in _TAGS and tag not in tags and kind in _CODES:
                code = _CODES[kind]
                size = struct.calcsize(f"={code}") * number
                if number > _MOST * 16 or size > len(self.data):
                    raise IndexError
                if size > room:
                    (start,) = struct.unpack_from(self.end + word, self.data, start)
                tags[tag] = start, list(struct.unpack_from(f"{self.end}{number}{code}", self.data, start))
        (following,) = struct.unpack_from(self.end + word, self.data, place + count * entry)
        return tags, following


def _orientation(block: bytes) -> int:
    """Orientation in an EXIF block; 1 if the block is damaged or has none."""
    try:
        tags = _Tags(block)
        value: int = tags.read(tags.first)[0][274][1][0]
    except (struct.error, IndexError, KeyError):
        return 1
    return value if 1 <= value <= 8 else 1


def _tiff(data: bytes) -> Header:
    reader = _Tags(data)
    tags, following = reader.read(reader.first)

    def value(tag: int, default: int) -> int:
        found = tags.get(tag, (0, []))[1]
        return found[0] if found else default

    bits = max(tags.get(258, (0, [1]))[1])
    photometric, channels = value(262, 1), value(277, 1)
    base = _BASE.get(photometric)
    colours = {8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a camera's raw pixels"}.get(photometric, "")
    if base is None and not colours:
        colours = f"TIFF's colour model {photometric}"
    elif base is not None and not 0 <= channels - base <= (photometric != 5):
        colours = f"{channels} channels"
    elif value(284, 1) == 2 and channels > 1 and bits > 8:  # OpenCV reads these as interleaved pixels
        colours = f"planes of {bits} bits, one for each colour"
    elif photometric == 3 and bits > 8:
        colours = f"a palette of {bits} bits"
    alpha = ""
    if base is not None and channels > base:
        alpha = "premultiplied" if value(338, 0) == 1 else "straight"
    palette = (tags[320][0], len(tags[320][1]) // 3) if photometric == 3 and bits <= 8 else None
    parts = [zip(tags[a][1], tags[b][1], strict=False) for a, b in ((273, 279), (324, 325)) if a in tags and b in tags]
    ends = [place + length for part in parts for place, length in part]
    return Header(
        "TIFF", value(256, 0), value(257, 0), bits, _NUMBERS.get(value(339, 1), "unknown"),
        pages=_pages(reader, following), orientation=max(min(value(274, 1), 8), 1), alpha=alpha,
        lossy=value(259, 1) in (6, 7, 34892), whole=max(ends, default=0) <= len(data), colours=colours,
        inverted=photometric == 0, palette=palette, extra=tags[338][0] if 338 in tags else None,
        big_endian=reader.end == ">",
    )  # fmt: skip


def _pages(reader: _Tags, following: int) -> int:
    """Number of pages, starting at the byte of the second directory; thumbnails and transparency masks do not count."""
    pages, seen = 1, {0}
    while following not in seen and len(seen) < 1000:
        seen.add(following)
        try:
            tags, following = reader.read(following)
            pages += not tags.get(254, (0, [0]))[1][0] & 0b101
        except (struct.error, IndexError):
            break
    return pages


_READERS: tuple[tuple[re.Pattern[bytes], Any], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n", re.DOTALL), _png),
    (re.compile(rb"\xff\xd8\xff", re.DOTALL), _jpeg),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"BM", re.DOTALL), _bmp),
    (re.compile(rb"II[*+]\0|MM\0[*+]", re.DOTALL), _tiff),
)
