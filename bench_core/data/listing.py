"""A reader's samples, checked, and the fingerprint of their files' content."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.data.hashing import FileHashes
from bench_core.data.samples import Reader, Sample
from bench_core.errors import DataError
from bench_core.samples import LARGEST_SPACING, LONGEST_TEXT, MOST_COLUMNS, PREFIX, is_value

AUTHOR = "report this to the dataset plugin's author"


def list_samples(reader: Reader, dataset: str) -> list[Sample]:
    """Return the reader's samples; raise DataError if there are none, or ids or attributes cannot be used."""
    samples = list(reader.samples())
    if not samples:
        raise DataError(
            "the dataset holds no samples", place=dataset, fix="check its root folder and options"
        )
    counted = Counter(sample.id for sample in samples)
    twice = sorted(sample for sample, number in counted.items() if number > 1)
    if twice:
        raise DataError(f"sample ids occur twice: {', '.join(twice[:10])}", place=dataset)
    for sample in samples:
        _check_texts(sample, dataset)
    _check_attributes(samples, dataset)
    return samples


def fingerprint_of(
    samples: Sequence[Sample], hashes: FileHashes, dataset: str, version: int, options: Mapping[str, Any]
) -> str:
    """Return a sha256 over reader, options, samples and the content of their files; attributes do not count.

    Raises DataError for a file that cannot be read.
    """
    content: list[list[Any]] = []
    for sample in samples:
        row: list[Any] = [sample.id, sample.group, [hashes.sha256(path) for path in sample.files]]
        content.append(row if sample.spacing is None else [*row, [float(side) for side in sample.spacing]])
    try:
        # Not sorted: a reader may number its labels in the order in which the classes are written.
        text = json.dumps([dataset, version, dict(options), content])
    except TypeError as error:
        raise DataError(f"an option is not plain data: {error}", place=dataset) from error
    return hashlib.sha256(text.encode()).hexdigest()


def _check_texts(sample: Sample, dataset: str) -> None:
    for what, text in (("id", sample.id), ("group", sample.group)):
        if not text or len(text) > LONGEST_TEXT or not text.isprintable():
            raise DataError(
                f"the {what} {text!a:.80} of a sample is not short printable text", place=dataset, fix=AUTHOR
            )
    spacing = sample.spacing
    if spacing is not None and not (
        len(spacing) == 2 and all(is_value(side) and 0 < float(side) <= LARGEST_SPACING for side in spacing)
    ):
        raise DataError(
            f"the spacing of {sample.id} is {spacing!r:.80}, expected two lengths in mm",
            place=str(sample.files[0]) if sample.files else dataset,
            fix="correct the file's header, or remove its spacing",
        )


def _check_attributes(samples: Sequence[Sample], dataset: str) -> None:
    kinds: dict[str, type] = {}
    for sample in samples:
        for name, value in sample.attributes.items():
            kind = str if isinstance(value, str) else float
            if name.startswith(PREFIX):
                raise DataError(
                    f"attribute {name!a:.60} of {sample.id} has a name that automatic attributes have",
                    place=dataset,
                    fix=f"rename it: {PREFIX} stands before what images and masks say themselves",
                )
            if not is_value(value) or not name or len(name) > LONGEST_TEXT or not name.isprintable():
                raise DataError(
                    f"attribute {name!a:.60} of {sample.id} is {value!a:.60}",
                    place=dataset,
                    cause="an attribute is short printable text or a finite number",
                    fix="leave out what is not known",
                )
            if kinds.setdefault(name, kind) is not kind:
                raise DataError(
                    f"attribute {name!r} is text in some samples and a number in others, such as {sample.id}",
                    place=dataset,
                    fix="give it one kind of value",
                )
    if len(kinds) > MOST_COLUMNS:
        raise DataError(f"samples have {len(kinds)} attributes, at most {MOST_COLUMNS}", place=dataset)
