"""What a PyTorch checkpoint claims, checked before it is loaded: a small file must not take gigabytes.

torch.load(weights_only=True) runs no code of a file, but believes its sizes: members that expand or overlap,
counts of bytes to be filled. Formats: PyTorch's zip archive of `data.pkl` and one member per storage, and the
sequence of pickles that preceded it (torch/serialization.py).
"""

from __future__ import annotations

import io
import pickletools
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from bench_core.files.bounded import BoundError
from bench_core.files.zip_contents import check_contents

MOST_EXPANSION = 8
"""How many times its own size a checkpoint may take in memory, from LITTLE bytes on."""
LITTLE = 64 * 1024**2
MOST_MEMBERS = 100_000
_MOST_CONTENTS = 32 * 1024**2
"""Bytes of an archive's table of contents: of so many members, with long names."""
MOST_PICKLE_BYTES = 16 * 1024**2
MOST_OBJECTS = 500_000
"""Lists, dictionaries and results of calls; a tensor takes about three."""
_ZIP, _PICKLE = b"PK\3\4", b"\x80"
_LEGACY_PICKLES = 5
"""Magic number, protocol, machine, content, names of the storages that follow."""
_CREATORS = frozenset(
    (
        *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("REDUCE", "NEWOBJ", "BINPERSID", "BUILD"),
    )
)
_KNOWN = frozenset(
    (
        *("collections OrderedDict", "collections Counter", "_codecs encode", "torch device", "torch Size"),
        *("torch Tensor", "torch.nn.parameter Parameter", "torch.serialization _get_layout"),
        *(
            "torch._tensor _rebuild_from_type_v2",
            "torch.storage TypedStorage",
            "torch.storage UntypedStorage",
        ),
        *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in ("set", "complex")),
    )
)
"""What a checkpoint of tensors refers to, beside kinds of storages and of numbers.

Among it are neither `bytearray`, which fills as many bytes as a number says, nor functions that copy.
"""
_REBUILDS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state")


def most_bytes(size: int) -> int:
    """Return how many bytes the content of a checkpoint of `size` bytes may take in memory."""
    return max(LITTLE, MOST_EXPANSION * size)


def check_checkpoint(file: BinaryIO, also_known: Collection[str] = ()) -> None:
    """Raise BoundError where a checkpoint claims more than its size allows, or refers to what it needs not.

    `also_known` are further "module name" pairs that its pickle may refer to. Content of neither format
    passes: PyTorch refuses that itself. The file's position is where it was.
    """
    start = file.tell()
    size = file.seek(0, 2) - start
    try:
        file.seek(start)
        beginning = file.read(4)
        file.seek(start)
        if beginning == _ZIP:
            with _bounded(file, size) as archive:
                _check_names(archive, also_known)
        elif beginning.startswith(_PICKLE):
            for _ in range(_LEGACY_PICKLES):
                _check_pickle(file, also_known)
    finally:
        file.seek(start)


def check_expansion(file: BinaryIO) -> None:
    """Raise BoundError where a zip archive expands to more than its size allows.

    For whoever reads members of a checkpoint whose names and shapes were checked before.
    """
    size = file.seek(0, 2)
    with _bounded(file, size):
        pass


@contextmanager
def _bounded(file: BinaryIO, size: int) -> Iterator[zipfile.ZipFile]:
    check_contents(file, _MOST_CONTENTS)
    try:
        with zipfile.ZipFile(file) as archive:
            members = len(archive.infolist())
            if members > MOST_MEMBERS:
                raise BoundError(f"the archive holds {members} members, more than {MOST_MEMBERS}")
            total = sum(member.file_size for member in archive.infolist())
            if total > most_bytes(size):
                raise BoundError(f"its {size} bytes expand to {total}")
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BoundError(f"the archive is damaged: {error}") from error


def _check_names(archive: zipfile.ZipFile, also_known: Collection[str]) -> None:
    for member in archive.infolist():
        if member.filename.rpartition("/")[2] == "data.pkl":
            if member.file_size > MOST_PICKLE_BYTES:
                raise BoundError(f"its names and shapes take {member.file_size} bytes")
            # Whole, since an archive's stream takes long for each of many small pieces.
            _check_pickle(io.BytesIO(archive.read(member)), also_known)


def _check_pickle(file: BinaryIO, also_known: Collection[str]) -> None:
    """Read one pickle's instructions without following them."""
    start, objects = file.tell(), 0
    try:
        for operation, argument, _ in pickletools.genops(file):
            if file.tell() - start > MOST_PICKLE_BYTES:
                raise BoundError(f"its names and shapes take more than {MOST_PICKLE_BYTES} bytes")
            objects += operation.name in _CREATORS
            if objects > MOST_OBJECTS:
                raise BoundError(f"it makes more than {MOST_OBJECTS} objects")
            if operation.name == "GLOBAL" and not _is_known(str(argument), also_known):
                raise BoundError(f"it refers to {argument!s}, which tensors do not need")
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError) as error:
        if isinstance(error, BoundError):
            raise
        raise BoundError(f"its names and shapes cannot be read: {error}") from error


def _is_known(reference: str, also_known: Collection[str]) -> bool:
    if reference in _KNOWN or reference in also_known:
        return True
    module, _, name = reference.partition(" ")
    if module == "torch._utils":
        return name in _REBUILDS
    # Kinds of storages, and of numbers: "torch FloatStorage", "torch float32".
    return module == "torch" and name.isidentifier() and (name.endswith("Storage") or name[:1].islower())
