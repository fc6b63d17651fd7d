"""What a dataset owes of images that belong to none, where it says how these are decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench_core.conformance.dataset_subject import DatasetSubject
from bench_core.conformance.properties import NotApplicable, Wrong, in_words, line_of
from bench_core.data.loose import LooseImage, LooseReader
from bench_core.data.samples import Sample, UInt8Array
from bench_core.declarations import LooseRequest, resolve_entry
from bench_core.errors import BenchError

LOOKED_AT = 3
"""Samples whose files are opened as loose images; a volume is read slice by slice."""


def loose_images(subject: DatasetSubject) -> None:
    """The dataset's own files, opened as loose images, show what its reader reads of them."""
    reader, root = _reader(subject), subject.folder
    suffixes = tuple(reader.suffixes)
    if not suffixes or any(not text.startswith(".") or text != text.lower() for text in suffixes):
        raise Wrong("its suffixes are not ends of names in lower case, such as .png")
    step = max(len(subject.chosen) // LOOKED_AT, 1)
    for sample, (expected, _) in list(zip(subject.chosen, subject.pairs, strict=True))[::step][:LOOKED_AT]:
        opened = list(_opened(reader, sample, suffixes))
        if not opened:
            raise Wrong(f"none of the files of {sample.id!r:.100} can be opened as a loose image")
        shown = next((image for image in opened if _shows(image, expected)), None)
        if shown is None:
            raise Wrong(
                f"no file of {sample.id!r:.100}, opened as a loose image, shows what the reader reads"
            )
        if any(not isinstance(text, str) for item in shown.facts.items() for text in item):
            raise Wrong("what a loose image says of itself is not text")
        if shown.keeps_space:
            _written(reader, shown, suffixes)
    _missing(reader, root / f"there-is-none{suffixes[0]}")


def _reader(subject: DatasetSubject) -> LooseReader:
    if subject.declared.loose is None:
        raise NotApplicable("it does not say how other images are read")
    request = LooseRequest(channels=subject.task.channels, options=subject.options)
    reader: LooseReader = resolve_entry(subject.declared.loose)(request)
    return reader


def _opened(reader: LooseReader, sample: Sample, suffixes: tuple[str, ...]) -> Iterator[LooseImage]:
    """Yield what can be opened of a sample's files, masks among them."""
    paths = [path for path in sample.files if path.name.lower().endswith(suffixes)]
    for files in reader.group(paths):
        try:
            image = reader.open(files)
            if image.slices > 0:
                image.picture(0)
        except BenchError:
            continue  # A mask need not be an image.
        yield image


def _shows(image: LooseImage, expected: UInt8Array) -> bool:
    found = (image.picture(number).array for number in range(image.slices))
    return any(each.shape == expected.shape and bool((each == expected).all()) for each in found)


def _written(reader: LooseReader, image: LooseImage, suffixes: tuple[str, ...]) -> None:
    """Write a label map for each slice, and expect a file of as many slices."""
    with tempfile.TemporaryDirectory() as folder:
        path = (
            Path(folder) / f"labels{next((end for end in suffixes if end.startswith('.nii')), suffixes[0])}"
        )
        blank = (np.zeros(image.picture(number).array.shape[:2], np.uint8) for number in range(image.slices))
        image.write(blank, path)
        if not path.is_file() or reader.open((path,)).slices != image.slices:
            raise Wrong("the file of its label maps has not as many slices as the image")


def _missing(reader: LooseReader, path: Path) -> None:
    try:
        reader.open((path,)).picture(0)
    except BenchError as error:
        if path.name not in f"{error.place} {error.message} {error.cause}":
            raise Wrong("a loose image that is missing is not named") from error
        return
    except Exception as error:
        raise Wrong(
            f"a loose image that is missing ends in {in_words(error)}", place=line_of(error, "")
        ) from error
    raise Wrong("a loose image that is missing is opened")
