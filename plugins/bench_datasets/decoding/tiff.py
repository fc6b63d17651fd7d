"""TIFF files of kinds that Pillow reads wrongly or not at all, with tifffile and OpenCV."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import DataError
from bench_datasets.decoding.pixels import REPLACE, Content, Pixels, check_size, turned

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DEFLATE = (8, 32946)
_PLAIN = (1, *_DEFLATE, 32773)
"""Compressions that tifffile undoes without compiled help: none, deflate, PackBits."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3
_ALPHA = (1, 2)
_KINDS = {"b": "bits", "u": "whole numbers", "i": "signed numbers", "f": "floating-point numbers"}


def is_tiff(head: bytes) -> bool:
    """Return whether a file that begins so is a TIFF."""
    return head[:4] in MAGIC


def decode_tiff(
    path: Path | Content, file: BinaryIO, number: int | None = None, *, upright: bool = True
) -> Pixels | None:
    """Return the values of a TIFF, or of one of its pages; None for the kinds that Pillow reads as they are.

    Raises DataError for a file that is cut off, promises too much or is of a kind that nothing here reads.
    """
    import tifffile

    # What it finds wrong is told below, with the path.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(file) as opened:
            page: Any = opened.pages[number or 0]
            _check(path, file, page)
            if number is None and _several(path, opened):
                return None
            _check_parts(path, page)
            if _pillow_reads(page):
                return None
            if int(page.photometric) not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
                name = getattr(page.photometric, "name", page.photometric)
                raise DataError(
                    f"is a TIFF of {page.bitspersample} bits in {name}, which is not read",
                    place=str(path),
                    fix="export it in gray or RGB",
                )
            _check_segments(path, file, page)
            if int(page.compression) in _PLAIN:
                values = _channels_last(page.asarray(), page)
            else:
                values = _with_opencv(path, page)
            return _pixels(values, page, _orientation(page) if upright else 1)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # tifffile raises almost anything on a damaged header.
        raise _cut_off(path, str(error)) from error


def deep(file: BinaryIO) -> bool:
    """Return whether a TIFF's header promises more than 8 bits a channel."""
    import tifffile

    with tifffile.TiffFile(file) as opened:
        page: Any = opened.pages.first
        return bool(page.dtype is not None and page.dtype.itemsize > 1)


def _check(path: Path | Content, file: BinaryIO, page: Any) -> None:
    if page.imagewidth < 1 or page.imagelength < 1 or not page.dataoffsets or not any(page.dataoffsets):
        raise _cut_off(path, "its header lacks the image's size or place")
    channels = page.samplesperpixel
    item = max(1, page.bitspersample // 8)
    if channels > 4096 or page.dtype is None or page.dtype.kind not in _KINDS:
        # What was cut off with the rest of the header would be told as another kind.
        _check_places(path, file, page)
        kind = _KINDS.get(page.dtype.kind, "values") if page.dtype is not None else "values"
        raise DataError(
            f"is a TIFF of {channels} channel{'s' if channels > 1 else ''} of {page.bitspersample}-bit {kind}"
            ", which is not read",
            place=str(path),
            fix="export it with whole or floating-point numbers of 8, 16 or 32 bits",
        )
    check_size(path, page.imagewidth, page.imagelength, channels, item)
    if page.is_tiled:
        check_size(path, page.tilewidth, page.tilelength, channels, item)


def count_pages(path: Path, most: int) -> int:
    """Return how many pages a TIFF has; raise DataError for a damaged one, or for more than `most`."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(path) as opened:
            found = len(opened.pages)
    except DataError:
        raise
    except Exception as error:
        raise _cut_off(path, str(error)) from error
    if found > most:
        raise DataError(f"holds more than {most} pages", place=str(path), fix="split it")
    return found


def _several(path: Path | Content, opened: Any) -> bool:
    images = (opened.imagej_metadata or {}).get("images", 1) if opened.is_imagej else 1
    if _has_page(opened, 1):
        return True
    if isinstance(images, int) and images > 1:
        raise DataError(
            f"holds {images} frames of ImageJ and lists one", place=str(path), fix="save it as separate pages"
        )
    return False


def _has_page(opened: Any, number: int) -> bool:
    try:
        opened.pages[number]
    except IndexError:
        return False
    return True


def _pillow_reads(page: Any) -> bool:
    """Return whether Pillow passes on the values of a kind as they are."""
    bits, kind, channels = page.bitspersample, page.dtype.kind, page.samplesperpixel
    photometric, extra = int(page.photometric), [int(value) for value in page.extrasamples]
    plain = int(page.compression) in _PLAIN
    if photometric == _PALETTE:
        return bool(bits <= 8 and channels == 1)
    if kind in ("b", "u") and bits <= 8:
        if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
            return bool(channels == 1 or (channels == 2 and extra == [2] and bits == 8))
        return bool(channels == 3 or (channels == 4 and (photometric != _RGB or extra != [0] or not plain)))
    exact = (kind, bits) in (("u", 16), ("i", 16), ("i", 32), ("f", 32)) and not plain
    simple = channels == 1 and photometric == _BLACK_IS_ZERO
    return bool(simple and (exact or (kind, bits) == ("u", 12)))


def _check_segments(path: Path | Content, file: BinaryIO, page: Any) -> None:
    """Raise DataError where parts of the file are missing, or unpack to more than the header promises."""
    _check_places(path, file, page)
    lengths = _unpacked_lengths(page)
    for offset, count, expected in zip(page.dataoffsets, page.databytecounts, lengths, strict=True):
        if int(page.compression) in _DEFLATE:
            file.seek(offset)
            found = zlib.decompressobj().decompress(file.read(count), expected + 1)
            if len(found) > expected:
                raise DataError(
                    "its pixels unpack to more than its header promises", place=str(path), fix=REPLACE
                )
            if len(found) < expected:
                raise _cut_off(path, "it holds fewer pixels than its header promises")
    if int(page.compression) == 1 and sum(page.databytecounts) < page.nbytes:
        raise _cut_off(path, "it holds fewer pixels than its header promises")


def _check_parts(path: Path | Content, page: Any) -> None:
    """Raise DataError where strips or tiles are not listed, which decoders would leave black."""
    planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
    if page.is_tiled:
        expected = -(-page.imagelength // page.tilelength) * -(-page.imagewidth // page.tilewidth) * planes
    else:
        expected = -(-page.imagelength // max(1, min(page.rowsperstrip, page.imagelength))) * planes
    if len(page.dataoffsets) != expected:
        raise _cut_off(path, f"it lists {len(page.dataoffsets)} of the {expected} parts of its pixels")


def _unpacked_lengths(page: Any) -> list[int]:
    """Return the bytes that each part of the pixels unpacks to."""
    planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
    whole = int(np.prod(page.chunks)) * page.dtype.itemsize
    if page.is_tiled:
        return [whole] * int(np.prod(page.chunked))
    rows = max(1, min(page.rowsperstrip, page.imagelength))
    strips = -(-page.imagelength // rows)
    last = page.imagelength - rows * (strips - 1)
    return [*[whole] * (strips - 1), whole // rows * last] * planes


def _check_places(path: Path | Content, file: BinaryIO, page: Any) -> None:
    file.seek(0, 2)
    end = file.tell()
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset <= 0 or count <= 0 or offset + count > end:
            raise _cut_off(path, f"the file ends before byte {offset + count}, where its pixels lie")


def _channels_last(values: NDArray[Any], page: Any) -> NDArray[Any]:
    if page.samplesperpixel == 1:
        return values.reshape(page.imagelength, page.imagewidth)
    if int(page.planarconfig) == 2:
        values = values.reshape(page.samplesperpixel, page.imagelength, page.imagewidth)
        return np.moveaxis(values, 0, 2)
    return values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def _with_opencv(path: Path | Content, page: Any) -> NDArray[Any]:
    """Decode what libtiff unpacks and OpenCV passes on as it is: up to 4 interleaved channels."""
    import cv2

    channels = page.samplesperpixel
    readable = channels in (1, 3, 4) and int(page.planarconfig) == 1 and _orientation(page) == 1
    readable = readable and int(page.photometric) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
    if readable and (page.dtype.kind, page.bitspersample) in (("u", 16), ("f", 32), ("f", 64)):
        content = np.frombuffer(path.read_bytes(), np.uint8)
        found = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if found is not None and found.dtype == page.dtype:
            return np.asarray(found if found.ndim == 2 else found[:, :, [2, 1, 0, 3][:channels]])
    name = getattr(page.compression, "name", page.compression)
    raise DataError(
        f"is a TIFF of {channels} channels of {page.bitspersample} bits compressed with {name}, "
        "which is not read",
        place=str(path),
        fix="export it without compression, or with deflate",
    )


def _pixels(values: NDArray[Any], page: Any, orientation: int) -> Pixels:
    values = turned(values, orientation)
    bits = page.bitspersample
    if int(page.photometric) == _WHITE_IS_ZERO and values.dtype.kind == "u":
        values = np.asarray((1 << bits) - 1, values.dtype) - values
    full = (0.0, float((1 << bits) - 1)) if values.dtype.kind == "u" and bits not in (8, 16, 32, 64) else None
    extra = [int(kind) for kind in page.extrasamples]
    if values.ndim == 3 and len(extra) == 1 and (extra[0] in _ALPHA or int(page.photometric) == _RGB):
        alpha, values = values[:, :, -1], values[:, :, :-1]
        return Pixels(values[:, :, 0] if values.shape[2] == 1 else values, alpha=alpha, full=full)
    return Pixels(values, full=full)


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and isinstance(tag.value, int) else 1


def _cut_off(path: Path | Content, reason: str) -> DataError:
    return DataError(f"is a TIFF that is cut off or damaged: {reason}", place=str(path), fix=REPLACE)
