"""A dataset under test: a declaration with options and a root, opened as a study opens it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.conformance.declared import Origin, origin_of
from bench_core.conformance.properties import NotApplicable, place_of
from bench_core.data.opening import Source, open_reader
from bench_core.data.samples import Reader, Sample, UInt8Array
from bench_core.declarations import Dataset, Task
from bench_core.errors import DataError, UnknownNameError
from bench_core.options import Option, complete_options
from bench_core.plugins.registry import Registry

LOOKED_AT = 120
"""Of a large dataset so many samples, evenly spread, are read."""
Pair = tuple[UInt8Array, UInt8Array]


@dataclass(frozen=True)
class DatasetSubject:
    """A dataset with options and root; samples and pixels are read when first asked for."""

    declared: Dataset
    options: Mapping[str, Any] = field(default_factory=dict)
    """Complete."""
    root: Path | None = None
    origin: Origin | None = None

    @property
    def place(self) -> str:
        """Where its reader is written."""
        return place_of(self.declared.open)

    @property
    def options_declared(self) -> Mapping[str, Option]:
        """Its options."""
        return self.declared.options

    @property
    def words(self) -> Mapping[str, str]:
        """What people read of it."""
        needed = {"license": self.declared.license}
        return needed | ({"how_to_get": self.declared.how_to_get} if self.declared.needs_root else {})

    @property
    def task(self) -> Task:
        """The task under these options."""
        return self.declared.task_for(self.options)

    def open(self, root: Path | None = None) -> Reader:
        """Return a new reader, at another root if given."""
        chosen = root or self.root
        source = Source(
            label=self.declared.name,
            declared=self.declared,
            task=self.task,
            root=None if chosen is None else str(chosen),
            options=self.options,
        )
        return open_reader(source)

    @cached_property
    def reader(self) -> Reader:
        """One reader, for all that does not ask for a new one."""
        return self.open()

    @cached_property
    def samples(self) -> list[Sample]:
        """All samples."""
        return list(self.reader.samples())

    @cached_property
    def chosen(self) -> list[Sample]:
        """Those that are read: all, or some that are evenly spread."""
        step = max(len(self.samples) // LOOKED_AT, 1)
        return self.samples[::step][:LOOKED_AT]

    @cached_property
    def pairs(self) -> list[Pair]:
        """Image and mask of each chosen sample."""
        return [self.reader.read(sample) for sample in self.chosen]

    @property
    def folder(self) -> Path:
        """The root; raises NotApplicable where there is none."""
        if self.root is None:
            raise NotApplicable("it reads no folder")
        return self.root

    def moved(self, root: Path) -> DatasetSubject:
        """Return the same dataset at another root."""
        return replace(self, root=root)


def subject_of(registry: Registry, name: str, given: Mapping[str, Any], root: Path | None) -> DatasetSubject:
    """Return a dataset to test; raise what a spec that names it so would end in.

    UnknownNameError for a name or options that do not exist, DataError for a root that is missing, or for a
    dataset that has no reader yet.
    """
    declared = registry.dataset(name)
    try:
        options = complete_options(declared.options, given)
        declared.task_for(options)
    except ValueError as error:
        raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
    if declared.open is None:
        raise DataError(f"dataset {name} cannot be read yet", cause=declared.unavailable)
    if declared.needs_root and root is None:
        raise DataError(f"dataset {name} reads files", fix="say where they are: add --root FOLDER")
    if root is not None and not root.is_dir():
        raise DataError("the folder given with --root does not exist", place=str(root))
    return DatasetSubject(
        declared,
        options,
        None if root is None else root.resolve(),
        origin_of(registry, "bench_datasets", name),
    )


def told(subject: DatasetSubject, read: int) -> dict[str, Any]:
    """Return samples and the hashes of the first pixels as plain data, the same in every process."""
    return {
        "samples": [plain(sample) for sample in subject.samples],
        "pixels": [digest(subject.reader.read(sample)) for sample in subject.chosen[:read]],
    }


def plain(sample: Sample) -> list[Any]:
    """Return a sample as JSON has it."""
    spacing = None if sample.spacing is None else [float(side) for side in sample.spacing]
    return [sample.id, sample.group, [str(path) for path in sample.files], dict(sample.attributes), spacing]


def digest(pair: Pair) -> str:
    """Return the hash of an image and its mask."""
    content = hashlib.sha256()
    for array in pair:
        content.update(f"{array.dtype}{array.shape}".encode())
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


def first_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> int | None:
    """Return where two lists first differ, None if they are equal."""
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return number
    return None if len(ours) == len(theirs) else min(len(ours), len(theirs))
