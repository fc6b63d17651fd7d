"""Files of others, read within bounds: what they claim is checked before it is believed."""

from __future__ import annotations

import errno
import json
import math
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MOST_ARRAY_BYTES = 2 * 1024**3
"""Of all arrays in one archive together, decompressed."""
MOST_ARRAYS = 4096
MOST_JSON_BYTES = 64 * 1024**2
DEEPEST_JSON = 64
"""Levels of lists and objects."""
_LARGEST_INTEGER = 2**63
_LONGEST_HEADER = 10_000
_END, _LARGE_END, _LARGE_RECORD = b"PK\5\6", b"PK\6\7", b"PK\6\6"
"""Signatures of the end of a zip file, and of the two that stand before it in one of more than 4 GiB."""
_LONGEST_END = 22 + 65_535
_LARGEST_DIRECTORY = 1024**2
LARGEST_CONTENTS = 128 * 1024**2
"""Of the table of contents of a zip file of many members."""
_PIECE = 2**20
"""Bytes of an array that are decompressed at a time."""
_SURROGATE = re.compile("[\ud800-\udfff]")
Scalar = TypeVar("Scalar", bound="np.generic")


class BoundError(ValueError):
    """Content that is damaged, or larger, deeper or of another kind than it may be."""


class Arrays:
    """The arrays of an open .npz file; nothing of an array is decompressed before its header was checked."""

    def __init__(self, archive: zipfile.ZipFile, sizes: dict[str, int]) -> None:
        self._archive = archive
        self._sizes = sizes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in the order of the file."""
        return tuple(self._sizes)

    def header(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Return an array's type and shape without its content; BoundError as `read` raises it."""
        with self._opened(name) as (_, dtype, shape, _order):
            return dtype, shape

    def read(
        self, name: str, dtype: type[Scalar], shape: Sequence[int | None] | None = None
    ) -> NDArray[Scalar]:
        """Return one array, which must be of type `dtype` and of `shape` (None: any length).

        `dtype` may be abstract, such as np.integer, or np.str_ for text of any length. Raises BoundError
        where the array is missing or damaged, is of another type or shape, or holds Python objects.
        """
        with self._opened(name) as (file, found, size, order):
            import numpy as np

            _check_kind(name, found, size, dtype, shape)
            expected = math.prod(size) * found.itemsize
            content = bytearray(expected)
            # Piece by piece: at once, the archive makes two further copies of it.
            view, held = memoryview(content), 0
            while held < expected and (more := file.readinto(view[held : held + _PIECE])):
                held += more
            held += len(file.read(1))
            if held != expected:
                raise BoundError(f"array {name!r} holds {held} bytes, its header says {expected}")
            flat = np.frombuffer(content, dtype=found)
            return cast("NDArray[Scalar]", flat.reshape(size, order=order))

    def rows(self, name: str, dtype: type[Scalar], shape: Sequence[int | None]) -> Iterator[NDArray[Scalar]]:
        """Yield the parts of an array along its first axis one at a time, so that few are in memory.

        As `read` otherwise; damage further on is met when it is reached.
        """
        with self._opened(name) as (file, found, size, order):
            import numpy as np

            _check_kind(name, found, size, dtype, shape)
            if order != "C":
                raise BoundError(f"array {name!r} is not stored row by row")
            width = math.prod(size[1:]) * found.itemsize
            for _ in range(size[0]):
                content = file.read(width)
                if len(content) != width:
                    raise BoundError(f"array {name!r} ends before its header says")
                yield cast("NDArray[Scalar]", np.frombuffer(content, dtype=found).reshape(size[1:]))
            if file.read(1):
                raise BoundError(f"array {name!r} holds more than its header says")

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Any, np.dtype[Any], tuple[int, ...], Any]]:
        if name not in self._sizes:
            raise BoundError(f"array {name!r} is missing")
        with _translated(), self._archive.open(f"{name}.npy") as file:
            dtype, shape, fortran = _header(file, name)
            if math.prod(shape) * dtype.itemsize > self._sizes[name]:
                raise BoundError(f"array {name!r} claims shape {list(shape)}, which the file cannot hold")
            yield file, dtype, shape, "F" if fortran else "C"


def _check_kind(
    name: str,
    found: np.dtype[Any],
    size: tuple[int, ...],
    dtype: type[np.generic],
    shape: Sequence[int | None] | None,
) -> None:
    import numpy as np

    if not np.issubdtype(found, dtype):
        raise BoundError(f"array {name!r} is of type {found}, not {dtype.__name__}")
    if shape is not None and not _fits(size, shape):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise BoundError(f"array {name!r} is of shape {list(size)}, not [{wanted}]")


@contextmanager
def open_arrays(path: Path, most_bytes: int = MOST_ARRAY_BYTES) -> Iterator[Arrays]:
    """Open an .npz file whose arrays take at most `most_bytes` in memory together.

    Raises BoundError where the file is no such archive, is damaged or holds more, and OSError where it cannot
    be read. Arrays of Python objects are never unpickled.
    """
    with open_regular(path) as file, _translated():
        _check_directory(file)
        yield from _archive(file, most_bytes)


def _archive(file: BinaryIO, most_bytes: int) -> Iterator[Arrays]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MOST_ARRAYS:
            raise BoundError(f"the archive holds {len(members)} arrays, more than {MOST_ARRAYS}")
        sizes: dict[str, int] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name == member.filename or name in sizes:
                raise BoundError(
                    f"the archive holds {member.filename!r}, which is not an array or comes twice"
                )
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BoundError(f"array {name!r} is compressed by another method than deflate")
            sizes[name] = member.file_size
        total = sum(sizes.values())
        if total > most_bytes:
            raise BoundError(f"the arrays take {total} bytes, more than {most_bytes}")
        yield Arrays(archive, sizes)


def parse_json(content: bytes | str, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return a JSON document as plain data: finite numbers, integers of 64 bits, text that is Unicode.

    Raises BoundError where it is malformed, longer than `most_bytes`, nested more than DEEPEST_JSON levels,
    gives a key twice, or holds NaN, infinity, larger numbers or half of a surrogate pair.
    """
    if len(content) > most_bytes:
        raise BoundError(f"the document is larger than {most_bytes} bytes")
    try:
        data = json.loads(
            content,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_finite,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise _too_deep() from None
    except BoundError:
        raise
    except ValueError as error:
        raise BoundError(str(error)) from error
    _check_tree(data)
    return data


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return the JSON document in a file; raises OSError, and BoundError as `parse_json` does."""
    with open_regular(path) as file:
        return parse_json(file.read(most_bytes + 1), most_bytes)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; OSError also for a pipe or a device, which could keep its reader waiting."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what zipfile, zlib and NumPy raise at damaged files into BoundError."""
    try:
        yield
    except BoundError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BoundError(f"the archive is damaged: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # An offset before the file's start, from a table of contents that was altered.
        raise BoundError("the archive is damaged: an array lies outside of it") from error
    except (NotImplementedError, RuntimeError) as error:
        # Encryption and features that zipfile does not know.
        raise BoundError(f"the archive is not a plain one: {error}") from error


def _check_directory(file: BinaryIO) -> None:
    """Refuse a table of contents out of proportion: zipfile reads all of it before it can be counted."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_END))
    tail = file.read()
    start = tail.rfind(_END)
    if start < 0 or len(tail) - start < 22:
        raise BoundError("the archive is damaged: it has no end")
    (directory,) = struct.unpack_from("<L", tail, start + 12)
    if directory > _LARGEST_DIRECTORY or tail[max(0, start - 20) : start].startswith(_LARGE_END):
        raise BoundError("the archive's table of contents is too large")


def check_contents(file: BinaryIO, most_bytes: int = LARGEST_CONTENTS) -> None:
    """Raise BoundError where a zip file has no end, or a table of contents of more than `most_bytes`."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_END - 20))
    tail = file.read()
    start = tail.rfind(_END)
    if start < 0 or len(tail) - start < 22:
        raise BoundError("the archive is damaged: it has no end")
    (directory,) = struct.unpack_from("<L", tail, start + 12)
    if start >= 20 and tail[start - 20 :].startswith(_LARGE_END):
        (place,) = struct.unpack_from("<Q", tail, start - 12)
        file.seek(min(place, size))
        record = file.read(56)
        if len(record) < 56 or not record.startswith(_LARGE_RECORD):
            raise BoundError("the archive is damaged: its end leads nowhere")
        (directory,) = struct.unpack_from("<Q", record, 40)
    if directory > min(most_bytes, size):
        raise BoundError("the archive's table of contents is too large")
    file.seek(0)


def _header(file: BinaryIO | Any, name: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    try:
        from numpy.lib import format as npy

        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=_LONGEST_HEADER)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise BoundError(f"array {name!r} has no valid header: {type(error).__name__}") from error
    if dtype.hasobject or dtype.names is not None or dtype.itemsize == 0:
        raise BoundError(f"array {name!r} is of type {dtype}, which is not plain numbers or text")
    if any(length < 0 for length in shape):
        raise BoundError(f"array {name!r} claims shape {list(shape)}")
    return dtype, shape, fortran


def _fits(found: tuple[int, ...], wanted: Sequence[int | None]) -> bool:
    return len(found) == len(wanted) and all(
        length in (None, size) for size, length in zip(found, wanted, strict=True)
    )


def _no_constant(text: str) -> NoReturn:
    raise BoundError(f"{text} is not a number")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else _LARGEST_INTEGER
    if not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        raise BoundError(f"the number {text[:20]}... has more than 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BoundError(f"the number {text[:20]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BoundError(f"key {twice!r} is given twice")
    return data


def _check_tree(data: Any) -> None:
    level, depth = [data], 0
    while level:
        if depth > DEEPEST_JSON:
            raise _too_deep()
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                if _SURROGATE.search(value):
                    raise BoundError("a text holds half of a surrogate pair")
            elif isinstance(value, dict):
                below += (*value, *value.values())
            elif isinstance(value, list):
                below += value
        level, depth = below, depth + 1


def _too_deep() -> BoundError:
    return BoundError(f"lists and objects are nested more than {DEEPEST_JSON} levels deep")
