"""All scores of all test images in one long table, for statistics elsewhere."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.quantities import quantities, quantity
from bench_core.analysis.quantity import Quantity
from bench_core.errors import MissingDependencyError, StoreError
from bench_core.install import install_command
from bench_core.samples import Value
from bench_core.text import table_cell, visible

FIXED = {
    "model": "string", "family": "string", "dataset": "string", "fold": "int32", "repeat": "int32",
    "image": "string", "group": "string", "class": "string", "metric": "string", "value": "float64",
    "unit": "string",
}  # fmt: skip
"""Columns and their types in Parquet; those of attributes follow."""
PREFIX = "attribute."
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Scores:
    """What is written: finished evaluate jobs, metrics, and the attributes of all samples."""

    evidence: Evidence
    folds: tuple[Finished, ...]
    metrics: tuple[Quantity, ...]
    attributes: Mapping[str, str]
    """Name to its type: float64, or string where any dataset has a text."""

    @property
    def types(self) -> dict[str, str]:
        """All columns, in order, and their types in Parquet."""
        return FIXED | {f"{PREFIX}{visible(name)}": kind for name, kind in self.attributes.items()}

    def parts(self) -> Iterator[Columns]:
        """Yield the columns of each job and metric: a value per image and class, then one per image.

        The latter has no class: it is the mean over the image's classes. Undefined values are None.
        """
        for fold in self.folds:
            known = _attributes(self.evidence, fold.job.dataset.label)
            for found in self.metrics:
                if found.has(fold):
                    yield self._part(fold, found, known)

    def _part(self, fold: Finished, found: Quantity, known: Mapping[str, Mapping[str, Value]]) -> Columns:
        counts, job = fold.counts, fold.job
        values = [
            *((place, name) for place in range(len(counts.ids)) for name in counts.classes),
            *((place, None) for place in range(len(counts.ids))),
        ]
        numbers = [*found.of_structures(fold).ravel().tolist(), *found.of_images(fold).tolist()]
        size = len(values)
        images = [counts.ids[place] for place, _ in values]
        columns: Columns = {
            "model": [job.model.label] * size,
            "family": [self.evidence.model(job.model.label).family] * size,
            "dataset": [job.dataset.label] * size,
            "fold": [job.fold.index] * size,
            "repeat": [job.repeat] * size,
            "image": images,
            "group": [counts.groups[place] for place, _ in values],
            "class": [name for _, name in values],
            "metric": [found.name] * size,
            "value": [None if math.isnan(value) else value for value in numbers],
            "unit": [found.scale(job.dataset.label).unit] * size,
        }
        for name, kind in self.attributes.items():
            column = known.get(name, {})
            texts = [column.get(image) for image in images]
            columns[f"{PREFIX}{visible(name)}"] = [
                str(value) if kind == "string" and value is not None else value for value in texts
            ]
        return columns


def scores_of(
    evidence: Evidence,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Scores:
    """Return what there is of these models, datasets and metrics, by default all.

    Raises UnknownNameError for a metric that the study does not have, StoreError where no job is finished.
    """
    folds = tuple(
        fold
        for fold in evidence.folds
        if (not models or fold.job.model.label in models)
        and (not datasets or fold.job.dataset.label in datasets)
    )
    if not folds:
        raise StoreError("no job of these models and datasets is finished", place=_place(evidence))
    chosen = tuple(quantity(evidence, name) for name in metrics) or tuple(quantities(evidence).values())
    kinds: dict[str, str] = {}
    for label in dict.fromkeys(fold.job.dataset.label for fold in folds):
        for name, column in _attributes(evidence, label).items():
            texts = any(isinstance(value, str) for value in column.values())
            kinds[name] = "string" if texts else kinds.get(name, "float64")
    return Scores(evidence, folds, chosen, kinds)


def scores_csv(scores: Scores) -> Iterator[bytes]:
    """Yield the table as CSV, a piece per job and metric; numbers at full precision."""
    yield _lines([list(scores.types)])
    for columns in scores.parts():
        yield _lines(zip(*columns.values(), strict=True))


def parquet_writer(scores: Scores) -> Callable[[BinaryIO], None]:
    """Return what writes the table as Parquet, a row group per job and metric.

    Raises MissingDependencyError without pyarrow.
    """
    arrow, parquet = _pyarrow()
    return lambda file: _write_parquet(scores, file, arrow, parquet)


def _write_parquet(scores: Scores, file: BinaryIO, arrow: Any, parquet: Any) -> None:
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in scores.types.items()])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for columns in scores.parts():
            shown = {
                name: [visible(value) if isinstance(value, str) else value for value in column]
                for name, column in columns.items()
            }
            writer.write_table(arrow.Table.from_pydict(shown, schema))


def _attributes(evidence: Evidence, dataset: str) -> dict[str, dict[str, Value]]:
    """Return attribute to image to value; empty where the store does not describe the dataset."""
    try:
        ids, columns = evidence.samples(dataset).ids, evidence.attributes(dataset)
    except StoreError:
        return {}
    return {name: dict(zip(ids, column, strict=True)) for name, column in columns.items()}


def _lines(rows: Any) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([_field(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _field(value: Any) -> str:
    if value is None:
        return ""
    return table_cell(value) if isinstance(value, str) else repr(value)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "Parquet needs the package 'pyarrow', which is not installed",
            fix=f"{install_command('parquet')}, or --format csv",
        ) from error
    return pyarrow, pyarrow.parquet


def _place(evidence: Evidence) -> str:
    return str(evidence.store.path) if evidence.store is not None else ""
