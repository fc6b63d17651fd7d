"""What was seen of one training: values in the order in which they came, in sections that can be aligned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Key = tuple[int, int]
"""Epoch from 0 (AFTER for what follows training) and part of it; keys sort in time."""

START, TRAINING, END, VALIDATION = range(4)
AFTER = 2**31
"""In place of the epoch. Its parts: the end of training, the test, the outcome."""
STOPPED, TESTING, OUTCOME = range(3)


@dataclass
class Section:
    """One part of a training."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    """Item to its values in order, one a step, a batch or a section."""
    whole: bool = False
    """It was gone through to its end: values that are not here were left out and not cut off."""


@dataclass
class Record:
    """One training as it was observed, whole or up to a failure."""

    sections: dict[Key, Section] = field(default_factory=dict)
    error: str | None = None
    """Why the runner did not come to the end, in one line."""

    @property
    def first_epoch(self) -> int:
        """The first epoch that was trained, from 0; -1 where none was."""
        return min((epoch for epoch, _ in self.sections if epoch != AFTER), default=-1)


class Log:
    """Writes a record."""

    def __init__(self) -> None:
        self.record = Record()
        self._key: Key | None = None

    @property
    def key(self) -> Key | None:
        """The section that is being written."""
        return self._key

    def enter(self, key: Key) -> None:
        """End the present section and begin, or continue, another."""
        if key != self._key:
            self.leave()
            self.record.sections.setdefault(key, Section())
            self._key = key

    def leave(self) -> None:
        """Mark the present section as gone through to its end."""
        if self._key is not None:
            self.record.sections[self._key].whole = True
        self._key = None

    def note(self, item: str, value: Any) -> None:
        """Append one value of an item to the present section."""
        if self._key is not None:
            self.record.sections[self._key].values.setdefault(item, []).append(value)


def place(key: Key, index: int, unit: str) -> str:
    """Return where a value stands, in words that count from 1, for example "epoch 1 step 3"."""
    epoch, part = key
    number = f" {unit} {index + 1}" if unit else ""
    if epoch == AFTER:
        return ("after training", "test", "outcome")[part] + (number if part != STOPPED else "")
    name = f"epoch {epoch + 1}"
    if part == START:
        return f"start of {name}"
    if part == END:
        return f"end of {name}"
    return (f"validation of {name}" if part == VALIDATION else name) + number


@dataclass(frozen=True)
class Tensors:
    """Tensors by name, as hashes and norms, and as copies where these are kept."""

    hashes: Mapping[str, str]
    norms: Mapping[str, float]
    """L2 norms, computed in float64."""
    copies: Mapping[str, Tensor] | None = None

    @property
    def hash(self) -> str:
        """One hash over all."""
        return digest(f"{name}:{value};".encode() for name, value in sorted(self.hashes.items()))


def tensors_of(tensors: Mapping[str, Tensor], *, keep: bool) -> Tensors:
    """Return hashes and norms of tensors on any device, with copies on the CPU if `keep`."""
    found = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return Tensors(
        hashes={name: hash_of(tensor) for name, tensor in found.items()},
        norms={name: float(tensor.double().norm()) for name, tensor in found.items()},
        copies={name: tensor.clone() for name, tensor in found.items()} if keep else None,
    )


def hash_of(tensor: Tensor) -> str:
    """Return a hash over a tensor's type, shape and bits, the same on every device and in every layout."""
    found = tensor.detach().cpu().contiguous()
    head = f"{found.dtype}{tuple(found.shape)}".encode()
    return digest([head, found.view(-1).view(torch.uint8).numpy().tobytes() if found.numel() else b""])


def shape_of(tensor: Tensor) -> str:
    """Return shape and type in words, for example "4x3x64x64 float32"."""
    return "x".join(map(str, tensor.shape)) + " " + str(tensor.dtype).removeprefix("torch.")


def digest(parts: Iterable[bytes]) -> str:
    """Return 16 hexadecimal digits over the parts in order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:16]
