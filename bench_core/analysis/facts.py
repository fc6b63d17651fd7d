"""What a report says of the models and datasets of a study besides their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Cell, DatasetFacts, ModelFacts
from bench_core.errors import BenchError
from bench_core.options import Option, complete_options
from bench_core.plan.job import JobDeviation
from bench_core.plan.resolve import split_options
from bench_core.plugins.registry import Registry
from bench_core.spec.model import DatasetEntry, ModelEntry
from bench_core.spec.rules.pools import track_of
from bench_core.store.store import Store


def model_facts(
    label: str, entry: ModelEntry, registry: Registry, cells: Mapping[tuple[str, str], Cell]
) -> ModelFacts:
    """Return a row's facts, from the declaration, the plan and what the finished jobs of its cells report."""
    architecture = registry.model(entry.name)
    mine = [cell for cell in cells.values() if cell.model == label]
    jobs = [job for cell in mine for job in (*cell.searches, *cell.planned)]
    results = [fold.result for cell in mine for fold in cell.folds]
    results += [trial.result for cell in mine for trial in cell.trials]
    deviations: dict[str, JobDeviation] = {}
    for job in jobs:
        for deviation in job.model.deviations:
            deviations.setdefault(f"{deviation.setting}={deviation.value}", deviation)
    runner = registry.runner(entry.runner or architecture.runner)
    given, settings = split_options(entry.options, architecture, runner)
    notes = [note for result in results if result.network for note in result.network.notes]
    return ModelFacts(
        label=label,
        title=entry.label or architecture.display,
        family=architecture.family,
        runner=runner.name,
        options=_differing(architecture.options, given),
        deviations=tuple(deviations.values()),
        departures=jobs[0].model.departures if jobs else architecture.departures,
        notes=tuple(dict.fromkeys(str(note) for note in notes)),
        parameters=tuple(sorted({result.network.parameters for result in results if result.network})),
        pretrained=jobs[0].model.pretrained if jobs else entry.pretrained or "none",
        track=track_of(entry, runner),
        settings=_differing(runner.options, settings) if runner.protocol == "own" else {},
    )


def _differing(declared: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    taken, usual = complete_options(declared, given), complete_options(declared, {})
    return {name: (taken[name], usual[name]) for name in taken if taken[name] != usual[name]}


def dataset_facts(
    label: str,
    entry: DatasetEntry,
    registry: Registry,
    cells: Mapping[tuple[str, str], Cell],
    store: Store | None,
) -> DatasetFacts:
    """Return a column's facts; without attributes where the store's description cannot be read."""
    declared = registry.dataset(entry.name)
    jobs = (
        job for cell in cells.values() if cell.dataset == label for job in (*cell.planned, *cell.searches)
    )
    job = next(jobs, None)
    task = job.dataset.task if job else declared.task_for(complete_options(declared.options, entry.options))
    return DatasetFacts(
        label=label,
        title=entry.label or declared.display,
        modality=declared.modality,
        license=declared.license,
        classes=task.classes,
        attributes=_attributes(label, cells, store),
        options=_differing(declared.options, entry.options),
        name=declared.name,
        references=declared.references,
        grouping=_grouping(declared.options, entry.options),
        citation=declared.citation,
    )


def _grouping(declared: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, tuple[Any, bool]]:
    """Return the options whose names begin with `group`, as all do by which a reader groups samples."""
    taken, usual = complete_options(declared, given), complete_options(declared, {})
    return {name: (value, value == usual[name]) for name, value in taken.items() if name.startswith("group")}


def _attributes(label: str, cells: Mapping[tuple[str, str], Cell], store: Store | None) -> tuple[str, ...]:
    mine = (done for cell in cells.values() if cell.dataset == label for done in (*cell.folds, *cell.trials))
    first = next(mine, None)
    try:
        return (
            ()
            if first is None or store is None
            else tuple(store.samples(first.result.data.fingerprint).attributes)
        )
    except BenchError:
        # No number depends on the description: a report is made without it.
        return ()
