"""MetaImage files: a text header `.mhd` beside `.raw` or `.zraw` data, as the older CAMUS release has them.

Keys and types: https://itk.org/Wiki/ITK/MetaIO/Documentation. The data file must lie beside its header.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import DataError
from bench_datasets.decoding.pictures import MOST_PIXELS
from bench_datasets.readers.stored import REPLACE, Stored

MOST_HEADER = 2**16
TYPES = {
    "MET_UCHAR": "u1", "MET_CHAR": "i1", "MET_USHORT": "u2", "MET_SHORT": "i2", "MET_UINT": "u4",
    "MET_INT": "i4", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


def data_file(path: Path) -> Path | None:
    """Return the path of a header's data; None where the header names none beside itself."""
    try:
        return path.parent / _data_name(_header(path), path)
    except DataError:
        return None


def read_mhd(path: Path, *, header_only: bool = False) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """Return a 2D image [H, W] and its spacing (down, across) in mm; without pixels if `header_only`.

    Raises DataError with the path of the header or of the data file.
    """
    header = _header(path)
    sides = _numbers(header, "DimSize", path)
    flat = len(sides) >= 2 and all(side == 1 for side in sides[2:])
    whole = all(side == int(side) and side > 0 for side in sides)
    if not flat or not whole or sides[0] * sides[1] > MOST_PIXELS:
        _refuse(path, f"its header promises {header.get('DimSize', '')!a:.40} pixels, expected one 2D image")
    width, height = int(sides[0]), int(sides[1])
    spacing = _spacing(header, path)
    if header_only:
        return np.zeros((0, 0)), spacing
    kind = TYPES.get(header.get("ElementType", ""))
    if kind is None or header.get("ElementNumberOfChannels", "1") != "1":
        _refuse(path, f"its pixels are {header.get('ElementType', 'of no type')!a:.40}, which is not read")
    order = ">" if _yes(header, "BinaryDataByteOrderMSB") or _yes(header, "ElementByteOrderMSB") else "<"
    dtype = np.dtype(order + kind)
    data = path.parent / _data_name(header, path)
    size = width * height * dtype.itemsize
    content = Stored(data).content(size + 1 if not _yes(header, "CompressedData") else size + 2**16)
    if _yes(header, "CompressedData"):
        try:
            content = zlib.decompressobj().decompress(content, size + 1)
        except zlib.error as error:
            _refuse(data, f"cannot be decompressed: {error}")
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content):,}"
        _refuse(data, f"holds {found} bytes where its header says {size:,}")
    return np.frombuffer(content, dtype=dtype).astype(dtype.newbyteorder("=")).reshape(height, width), spacing


def _header(path: Path) -> Mapping[str, str]:
    text = Stored(path).content(MOST_HEADER).decode("latin-1")
    header: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if line.strip() and not equals:
            _refuse(path, f"its header holds the line {line!a:.40}, expected `key = value`")
        if equals:
            header[key.strip()] = value.strip()
    return header


def _data_name(header: Mapping[str, str], path: Path) -> str:
    """Return the data file's name; it never leads out of the header's folder."""
    name = header.get("ElementDataFile", "")
    if not name or "\0" in name or name in ("LOCAL", "LIST", ".", ".."):
        _refuse(path, "its header names no data file")
    if PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        _refuse(path, f"its header names the data file {name!a:.60}, which is not beside it")
    return name


def _spacing(header: Mapping[str, str], path: Path) -> tuple[float, float] | None:
    sides = _numbers(header, "ElementSpacing", path) if "ElementSpacing" in header else []
    if len(sides) < 2 or not all(side > 0 for side in sides[:2]):
        return None
    return sides[1], sides[0]


def _numbers(header: Mapping[str, str], key: str, path: Path) -> list[float]:
    try:
        found = [float(word) for word in header.get(key, "").split()]
    except ValueError:
        found = []
    if not found or len(found) > 8 or not all(math.isfinite(number) for number in found):
        _refuse(path, f"its header says {key} = {header.get(key, '')!a:.40}")
    return found


def _yes(header: Mapping[str, str], key: str) -> bool:
    return header.get(key, "").lower() == "true"


def _refuse(path: Path, what: str) -> NoReturn:
    raise DataError(what, place=str(path), fix=REPLACE)
