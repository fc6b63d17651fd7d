"""Archives of arrays (.npz) of others, read within bounds and never unpickled."""

from __future__ import annotations

import errno
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from bench_core.files.bounded import BoundError, open_regular
from bench_core.files.zip_contents import check_contents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_ARRAY_BYTES = 2 * 1024**3
"""Of all arrays in one archive together, decompressed."""
MOST_ARRAYS = 4096
_MOST_CONTENTS = 1024**2
"""Bytes of an archive's table of contents."""
_LONGEST_HEADER = 10_000
_PIECE = 2**20
"""Bytes of an array that are decompressed at a time."""
_PARSING = Lock()
"""NumPy has Python parse a header, and Python 3.11 cannot in two threads at once: SystemError."""
if hasattr(os, "register_at_fork"):
    # A fork has none of the threads that could hold it.
    os.register_at_fork(
        before=_PARSING.acquire, after_in_parent=_PARSING.release, after_in_child=_PARSING.release
    )
Scalar = TypeVar("Scalar", bound="np.generic")


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
        check_contents(file, _MOST_CONTENTS)
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


def _header(file: BinaryIO | Any, name: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    try:
        from numpy.lib import format as npy

        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        with _PARSING:
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
