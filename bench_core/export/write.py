"""Writes what is exported into a new folder; equal results give equal bytes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bench_core.analysis.evidence import Finished
from bench_core.errors import StoreError
from bench_core.export.label_maps import palette, to_original, to_png
from bench_core.export.names import file_names
from bench_core.report.delimited import csv_text
from bench_core.study import StudyResults

Content = bytes | Callable[[BinaryIO], None]
"""What a file holds, or what writes it."""
File = tuple[PurePosixPath, Content]
COUNT_COLUMNS = ("id", "group", "class", "tp", "fp", "fn")


def table_files(study: StudyResults, names: Sequence[str] = ()) -> Iterator[File]:
    """Yield NAME.csv of the named tables of the report, or of all of them."""
    for name in names or study.tables:
        rows = study.table(name)
        header = list(rows[0]) if rows else []
        yield PurePosixPath(f"{name}.csv"), csv_text(header, (row.values() for row in rows)).encode()


def count_files(jobs: Sequence[Finished]) -> Iterator[File]:
    """Yield MODEL/DATASET/FOLD.csv of each job: one row per image and class."""
    for done, folder in _folders(jobs):
        counts = done.counts
        rows = [
            (sample, group, name, *values)
            for sample, group, table in zip(counts.ids, counts.groups, counts.values, strict=True)
            for name, values in zip(counts.classes, table.tolist(), strict=True)
        ]
        yield folder.with_name(f"{folder.name}.csv"), csv_text(COUNT_COLUMNS, rows).encode()


def prediction_files(study: StudyResults, jobs: Sequence[Finished], original: bool) -> Iterator[File]:
    """Yield MODEL/DATASET/FOLD/ID.png of each job's images, with index.csv and classes.csv beside them.

    `original` brings the maps to the images' own sizes; raises StoreError where these are not known.
    """
    for done, folder in _folders(jobs):
        kept = done.predictions()
        names = file_names(kept.ids)
        sizes = _sizes(study, done) if original else {}
        index = []
        for sample, grid in zip(kept.ids, kept.labels, strict=True):
            labels = to_original(grid, *sizes[sample], done.job.pixels.resize) if original else grid
            file = f"{names[sample]}.png"
            index.append((sample, file, *labels.shape))
            yield folder / file, to_png(labels)
        yield folder / "index.csv", csv_text(("id", "file", "height", "width"), index).encode()
        yield folder / "classes.csv", _classes(done).encode()


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Refuse a folder that holds something; raise StoreError, too, for what cannot be written inside."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise StoreError(
                "the folder is not empty",
                place=str(folder),
                cause="an export never overwrites a file",
                fix="choose another folder with --out, or remove this one",
            )
        yield
    except OSError as error:
        raise StoreError(
            "cannot write the export",
            place=str(error.filename or folder),
            cause=error.strerror or str(error),
            fix="choose another folder with --out"
            if error.errno not in (errno.ENOSPC, errno.EDQUOT)
            else "free some space, or choose another folder with --out",
        ) from error


def write_files(files: Iterator[File], folder: Path) -> int:
    """Write files below a folder that is new or empty, and return how many; nothing is overwritten.

    Raises StoreError for a folder that holds something, or that cannot be written.
    """
    number = 0
    with new_folder(folder):
        for name, content in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
            number += 1
    return number


def _folders(jobs: Sequence[Finished]) -> Iterator[tuple[Finished, PurePosixPath]]:
    models = file_names(done.job.cell[0] for done in jobs)
    datasets = file_names(done.job.cell[1] for done in jobs)
    for done in jobs:
        model, dataset = done.job.cell
        repeat = f"-repeat-{done.job.repeat}" if done.job.repeat else ""
        yield done, PurePosixPath(models[model], datasets[dataset], f"fold-{done.job.fold.index}{repeat}")


def _sizes(study: StudyResults, done: Finished) -> dict[str, tuple[int, int]]:
    samples = study.store.samples(done.result.data.fingerprint)
    found = {
        sample: (int(height), int(width))
        for sample, (height, width) in zip(samples.ids, samples.sizes, strict=True)
    }
    missing = [sample for sample in done.predictions().ids if sample not in found]
    if missing:
        raise StoreError(f"the original size of {missing[0]} is not known", place=str(study.store.datasets))
    return found


def _classes(done: Finished) -> str:
    colors = palette()
    rows = [
        (label, name, "#{:02x}{:02x}{:02x}".format(*colors[3 * label : 3 * label + 3]))
        for label, name in enumerate(("background", *done.job.dataset.task.classes))
    ]
    return csv_text(("label", "class", "color"), rows)
