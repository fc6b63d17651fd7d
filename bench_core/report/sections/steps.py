"""What steps, and runners with a procedure of their own, left besides label maps: numbers and files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.report import names
from bench_core.report.blocks import Block, Prose, Section
from bench_core.report.names import listed
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Steps"
_MOST_NAMES = 4
"""Files that a cell of the table names; the others are counted."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return two tables per step: its numbers over jobs, and the files that its jobs left."""
    blocks: list[Block] = []
    for stage in evidence.plan.stages:
        if stage == "search":
            continue
        blocks += [table for table in (_values(evidence, stage), _files(evidence, stage)) if table]
    if not blocks and evidence.spec.steps:
        blocks.append(Prose(("No step is finished yet.",)))
    lead = "Numbers are of the jobs themselves, mean ± standard deviation over the jobs of a cell."
    return Section("steps", TITLE, tuple(blocks), lead if blocks else "")


def _values(evidence: Evidence, stage: str) -> Table | None:
    rows = []
    for model, dataset, jobs in _cells(evidence, stage):
        for name in dict.fromkeys(name for job in jobs for name in job.result.values):
            values = [job.result.values[name] for job in jobs if name in job.result.values]
            cells = (*_names(evidence, model, dataset), Cell(name), _mean(values), _number(len(values)))
            rows.append(Row(cells, names.group_of(evidence, model)))
    if not rows:
        return None
    return Table(
        name=f"values-{stage}",
        title=f"{_title(evidence, stage)}: numbers of the jobs",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("name", "Number", numeric=False),
            Column("value", "Value", ("mean", "std")),
            Column("jobs", "Jobs"),
        ),
        rows=tuple(rows),
    )


def _files(evidence: Evidence, stage: str) -> Table | None:
    rows = []
    for model, dataset, jobs in _cells(evidence, stage):
        left = Counter(name for job in jobs for name in job.result.artifacts)
        maps = sum("predictions.npz" in job.result.files for job in jobs)
        planned = sum(job.stage == stage and job.cell == (model, dataset) for job in evidence.plan.jobs)
        cells = (
            *_names(evidence, model, dataset),
            Cell(f"{len(jobs)} of {planned}", (len(jobs), planned)),
            Cell(str(maps), (maps,)),
            _listed(left, len(jobs), "records"),
            _listed(left, len(jobs), "artifacts"),
        )
        if stage != "evaluate" or left:
            rows.append(Row(cells, names.group_of(evidence, model)))
    if not rows:
        return None
    return Table(
        name=f"files-{stage}",
        title=f"{_title(evidence, stage)}: files of the jobs",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("jobs", "Jobs", ("done", "planned")),
            Column("label_maps", "With label maps"),
            Column("records", "Records", numeric=False),
            Column("artifacts", "Artifacts", numeric=False),
        ),
        rows=tuple(rows),
        caption="Files lie in the jobs' folders, which bench show prints for a job.",
    )


def _cells(evidence: Evidence, stage: str) -> Iterator[tuple[str, str, Sequence[Finished]]]:
    for model, dataset in evidence.cells:
        jobs = evidence.finished(stage, model, dataset)
        if jobs:
            yield model, dataset, jobs


def _title(evidence: Evidence, stage: str) -> str:
    if stage == "evaluate":
        return "Procedures of their own"
    name = next((entry.name for entry in evidence.spec.steps if (entry.label or entry.name) == stage), stage)
    return f"Step {stage}" if name == stage else f"Step {stage} ({name})"


def _names(evidence: Evidence, model: str, dataset: str) -> tuple[Cell, Cell]:
    return Cell(evidence.model(model).title, (model,)), Cell(evidence.dataset(dataset).title, (dataset,))


def _mean(values: Sequence[float | str]) -> Cell:
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        texts = listed(dict.fromkeys(str(value) for value in values), _MOST_NAMES)
        return Cell(texts, (texts, None))
    known = [number for number in numbers if math.isfinite(number)]
    if not known:
        return Cell("undefined", (None, None))
    std = stdev(known) if len(known) > 1 else None
    small = "" if std is None else f"± {std:.4g}"
    return Cell(f"{fmean(known):.6g}", (fmean(known), std), small=small)


def _number(value: int) -> Cell:
    return Cell(str(value), (value,))


def _listed(left: Mapping[str, int], jobs: int, part: str) -> Cell:
    found = sorted(name for name in left if name.startswith(f"{part}/"))
    shown = [_counted(name.partition("/")[2], left[name], jobs) for name in found]
    return Cell(listed(shown, _MOST_NAMES) or "–", (" ".join(_plain(found)),))


def _counted(name: str, number: int, jobs: int) -> str:
    return name if number == jobs else f"{name} ({number} of {jobs} jobs)"


def _plain(names: Iterable[str]) -> list[str]:
    return [name.partition("/")[2] for name in names]
