"""What every dataset owes of its samples and pixels: a function a property."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench_core.conformance.dataset_subject import DatasetSubject, Pair, digest, first_difference, plain, told
from bench_core.conformance.elsewhere import ask
from bench_core.conformance.properties import NotApplicable, Wrong, some
from bench_core.data.cache import open_cache
from bench_core.data.folds import assign_folds, check_leaks
from bench_core.data.grouping import Duplicates, apply
from bench_core.data.listing import list_samples
from bench_core.data.picture import read_picture
from bench_core.data.reading import check_pair
from bench_core.data.samples import Reader, Sample
from bench_core.declarations import IGNORE
from bench_core.errors import DataError
from bench_core.options import complete_options

LEAST_GROUPS = 3
"""For one fold to train on, one to choose by and one to test."""
MOST_CLASSES = IGNORE - 1
READ_AGAIN = 6
READ_IN_THREADS = 24


@dataclass(frozen=True)
class _Some:
    """A reader whose samples are these."""

    reader: Reader
    chosen: list[Sample]

    def samples(self) -> list[Sample]:
        return self.chosen

    def read(self, sample: Sample) -> Pair:
        return self.reader.read(sample)


def task(subject: DatasetSubject) -> None:
    """The task names each class once and says how many channels an image has."""
    found = subject.task
    if not found.classes or not all(name.strip() for name in found.classes):
        raise Wrong("a class has no name, or there is none")
    if len(set(found.classes)) != len(found.classes):
        raise Wrong(f"a class is named twice: {', '.join(found.classes)}")
    if len(found.classes) > MOST_CLASSES or found.channels < 1:
        raise Wrong(f"{len(found.classes)} classes and {found.channels} channels cannot be segmented")


def ids_and_groups(subject: DatasetSubject) -> None:
    """Ids are unique, ids and groups are plain text without a path of this machine."""
    bare = [replace(sample, attributes={}, spacing=None) for sample in subject.samples]
    list_samples(_Some(subject.reader, bare), subject.declared.name)
    root = str(subject.root) if subject.root is not None else None
    for sample in bare:
        if root is not None and (root in sample.id or root in sample.group):
            raise Wrong(
                f"the id or group of {sample.id!r:.100} holds the path of the folder",
                fix="name samples by their path below the root",
            )


def attributes(subject: DatasetSubject) -> None:
    """Attributes are short text or finite numbers, of one kind per name."""
    bare = [replace(sample, spacing=None) for sample in subject.samples]
    list_samples(_Some(subject.reader, bare), subject.declared.name)


def spacing(subject: DatasetSubject) -> None:
    """Spacing is two lengths above 0, of all samples or of none."""
    bare = [replace(sample, attributes={}) for sample in subject.samples]
    list_samples(_Some(subject.reader, bare), subject.declared.name)


def same_order(subject: DatasetSubject) -> None:
    """Samples come in the same order each time they are asked for, of one reader and of a new one."""
    expected = list(map(plain, subject.samples))
    for what, reader in (("again", subject.reader), ("by a new reader", subject.open())):
        row = first_difference(list(map(plain, reader.samples())), expected)
        if row is not None:
            raise Wrong(f"listed {what}, sample {row + 1} is another one or differs")


def groups(subject: DatasetSubject) -> None:
    """There are groups enough for training, validation and test."""
    ids, names = ([getattr(sample, key) for sample in subject.samples] for key in ("id", "group"))
    found = len(set(names))
    if found < LEAST_GROUPS:
        raise Wrong(
            f"{found} groups of samples cannot be dealt into training, validation and test",
            fix="let samples share a group only if they show the same patient, video or slab",
        )
    folds = assign_folds(ids, names, min(found, 5), seed=0)
    if len(set(folds.tolist())) < min(found, 5):
        raise Wrong("a fold of five would be empty")


def expected_count(subject: DatasetSubject) -> None:
    """There are as many samples as declared."""
    count = subject.declared.samples
    defaults = complete_options(subject.declared.options, {})
    if count is None or dict(subject.options) != defaults:
        raise NotApplicable("no number of samples is declared" if count is None else "for other options")
    if len(subject.samples) != count:
        raise Wrong(f"{count} samples are declared and {len(subject.samples)} are listed")


def pairs(subject: DatasetSubject) -> None:
    """Image and mask are uint8, of one size, with declared channels and labels."""
    for sample, (image, mask) in zip(subject.chosen, subject.pairs, strict=True):
        if not (isinstance(image, np.ndarray) and isinstance(mask, np.ndarray)):
            raise Wrong(f"sample {sample.id!r} is {type(image).__name__} and {type(mask).__name__}")
        check_pair(sample, image, mask, subject.task)


def classes_occur(subject: DatasetSubject) -> None:
    """Every class is in some mask."""
    wanted = set(range(1, len(subject.task.classes) + 1))
    for _, mask in subject.pairs:
        wanted -= set(np.unique(mask).tolist())
    rest = (sample for sample in subject.samples if sample not in subject.chosen)
    while wanted and (sample := next(rest, None)) is not None:
        wanted -= set(np.unique(subject.reader.read(sample)[1]).tolist())
    if wanted:
        names = {subject.task.classes[label - 1] for label in wanted}
        raise Wrong(f"no mask holds {some(names)}")


def images_show(subject: DatasetSubject) -> None:
    """No image has one value only, and the channels of a color image are not all alike."""
    flat = [sample.id for sample, (image, _) in zip(subject.chosen, subject.pairs, strict=True)
            if image.min() == image.max()]  # fmt: skip
    if flat:
        raise Wrong(f"{len(flat)} images have one value only: {some(flat)}")
    colored = any((image != image[:, :, :1]).any() for image, _ in subject.pairs)
    if subject.task.channels > 1 and not colored:
        raise Wrong(f"all {subject.task.channels} channels are alike", fix="declare 1 channel")


def repeatable(subject: DatasetSubject) -> None:
    """A new reader gives the same pixels, in whatever order they are asked for."""
    expected = [digest(pair) for pair in subject.pairs]
    fresh = subject.open()
    step = max(len(expected) // READ_AGAIN, 1)
    for number in range(len(expected) - 1, -1, -step):
        if digest(fresh.read(subject.chosen[number])) != expected[number]:
            raise Wrong(f"read again, {subject.chosen[number].id!r} has other pixels")
        image, mask = read_picture(fresh, subject.chosen[number])
        if digest((image.array, mask)) != expected[number]:
            raise Wrong(f"read as a picture, {subject.chosen[number].id!r} has other pixels")


def threads(subject: DatasetSubject) -> None:
    """Reading from several threads gives the same pixels."""
    expected = [digest(pair) for pair in subject.pairs[:READ_IN_THREADS]]
    reader = subject.open()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            found = list(
                pool.map(lambda sample: digest(reader.read(sample)), subject.chosen[:READ_IN_THREADS])
            )
            row = first_difference(found, expected)
            if row is not None:
                raise Wrong(f"read by four threads at once, {subject.chosen[row].id!r} has other pixels")


def other_process(subject: DatasetSubject) -> None:
    """Another process, started elsewhere, sees the same samples and pixels."""
    if subject.origin is None:
        raise NotApplicable("no plugin declares it")
    root = None if subject.root is None else str(subject.root)
    found = ask("samples", subject.origin, options=dict(subject.options), root=root, read=READ_AGAIN)
    expected = told(subject, READ_AGAIN)
    for what in ("samples", "pixels"):
        row = first_difference(found[what], expected[what])
        if row is not None:
            raise Wrong(f"in another process the {what} differ, from number {row + 1} on")


def cached(subject: DatasetSubject) -> None:
    """A cache can be made of it, and with copies kept together, as a study does, no image is in two folds."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            arrays = open_cache(
                _Some(subject.reader, subject.chosen),
                dataset=subject.declared.name,
                version=subject.declared.version,
                options=dict(subject.options),
                image_size=32,
                resize="pad-square",
                root=Path(folder),
                task=subject.task,
            )
            declared, arrays = len(set(arrays.groups)), apply(arrays, Duplicates(), Path(folder))
            left = len(set(arrays.groups))
            if left < min(declared, LEAST_GROUPS):
                raise Wrong(
                    f"copies join {declared} groups to {left}, which cannot be dealt into training, "
                    f"validation and test: {arrays.remarks[-1]}",
                    fix="give images of one scene one group, and check that the reader tells images apart",
                )
            if left > 1:
                check_leaks(arrays, assign_folds(arrays.ids, arrays.groups, 2, seed=0))
        except DataError as error:
            raise Wrong(error.message, place=error.place or "", fix=error.fix or "") from error
