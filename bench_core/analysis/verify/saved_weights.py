"""Reads which weights a checkpoint holds (names, shapes, kinds of numbers) without a framework."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench_core.errors import StoreError
from bench_core.files.bounded import open_regular
from bench_core.store.folder import fix_for
from bench_core.weights.checkpoint import check_checkpoint, check_expansion

_TYPES = {"Double": "<f8", "Float": "<f4", "Half": "<f2", "BFloat16": "<u2"}
"""How the numbers of a kind of storage lie in the file, as torch.save writes them."""
_EXPONENT = 0x7F80
"""Bits of a bfloat16 that are all set where it is not finite; the bits below tell NaN from infinity."""

Form = tuple[tuple[str, str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class SavedTensor:
    """A tensor of a checkpoint, without its numbers."""

    kind: str
    """Of its storage: Float, Half, Long."""
    shape: tuple[int, ...]
    key: str
    """Names the member of the archive that holds its numbers."""

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)


@dataclass(frozen=True)
class SavedWeights:
    """What a job's best.pt says of itself."""

    epoch: int
    tensors: Mapping[str, SavedTensor]

    @property
    def elements(self) -> int:
        """Numbers of all tensors together, parameters and buffers."""
        return sum(tensor.elements for tensor in self.tensors.values())

    @property
    def form(self) -> Form:
        """Names, kinds and shapes: equal for all jobs of one network."""
        return tuple((name, tensor.kind, tensor.shape) for name, tensor in self.tensors.items())


def saved_weights(path: Path) -> SavedWeights:
    """Return epoch and tensors of saved weights; raises StoreError if they cannot be read."""
    with _reading(path, check_checkpoint) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        saved = _Reader(io.BytesIO(archive.read(name))).load()
        tensors = saved["state_dict"]
        if not isinstance(tensors, dict) or not tensors:
            raise ValueError("it holds no weights")
        strange = next((key for key, value in tensors.items() if not isinstance(value, SavedTensor)), None)
        if strange is not None:
            raise ValueError(f"{str(strange)[:60]!a} is not a tensor")
        return SavedWeights(_epoch(saved["epoch"]), dict(tensors))


def undefined_tensors(path: Path, weights: SavedWeights) -> tuple[list[str], list[str]]:
    """Return the names of tensors that hold NaN, and of those that hold infinity; one is read at a time.

    Raises StoreError if they cannot be read.
    """
    nan: list[str] = []
    infinite: list[str] = []
    with _reading(path, check_expansion) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("data.pkl")).rpartition("/")[0]
        for name, tensor in weights.tensors.items():
            if tensor.kind not in _TYPES:
                continue
            content = archive.read(f"{folder}/data/{tensor.key}" if folder else f"data/{tensor.key}")
            values = np.frombuffer(content, _TYPES[tensor.kind])
            if tensor.kind == "BFloat16":
                odd = values[(values & _EXPONENT) == _EXPONENT]
                has_nan, has_infinity = bool((odd & 0x7F).any()), odd.size > 0
            else:
                odd = values[~np.isfinite(values)]
                has_nan, has_infinity = bool(np.isnan(odd).any()), odd.size > 0
            if has_nan:
                nan.append(name)
            elif has_infinity:
                infinite.append(name)
    return nan, infinite


def _epoch(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("its epoch is not a whole number")
    return value


@contextmanager
def _reading(path: Path, check: Callable[[BinaryIO], None]) -> Iterator[zipfile.ZipFile]:
    try:
        with open_regular(path) as file:
            check(file)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except Exception as error:  # A garbled pickle can raise anything.
        raise StoreError(
            "damaged file in the store",
            place=str(path),
            cause=f"{type(error).__name__}: {error}".splitlines()[0][:300],
            fix=fix_for(path.parent),
        ) from error


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str


class _Nothing:
    """Stands for every object of a pickle that is not looked at."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __call__(self, *arguments: Any) -> _Nothing:
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    append = extend = __call__


def _tensor(storage: Any, offset: Any, shape: Any, *_: Any) -> SavedTensor:
    if not isinstance(storage, _Storage) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("a tensor has no storage or shape")
    return SavedTensor(storage.kind, tuple(shape), storage.key)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _parameter
        # The kind of a storage is in its name alone.
        return type(name, (_Nothing,), {}) if module == "torch" and name.endswith("Storage") else _Nothing

    def persistent_load(self, pid: Any) -> Any:
        what, kind, key, *_ = pid
        if what != "storage" or not isinstance(kind, type) or not isinstance(key, str):
            raise ValueError("it refers to what is not storage")
        return _Storage(kind.__name__.removesuffix("Storage"), key)
