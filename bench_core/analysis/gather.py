"""Loads what a store holds of a plan into the evidence that all analyses read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench_core.analysis.evidence import Cell, Evidence, Finished, Gap
from bench_core.analysis.facts import dataset_facts, model_facts
from bench_core.analysis.measured import read_tables
from bench_core.analysis.packed_maps import MapCache
from bench_core.analysis.standing import standing
from bench_core.errors import BenchError, StoreError
from bench_core.execute.ground import Ground
from bench_core.plan.expand import Plan
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.spec.model import Spec
from bench_core.spec.rules.labels import label_of
from bench_core.store.accepted import read_accepted
from bench_core.store.store import Store


def gather(
    spec: Spec,
    plan: Plan,
    registry: Registry,
    store: Store | None,
    command: str = "SPEC",
    base: Path | None = None,
    ground: Ground | None = None,
) -> Evidence:
    """Load what the store holds of a plan; unreadable results become gaps, never a failure of the whole.

    So do results that stand on other data than those beside them, or in one cell on other code or weights.
    With `ground` they are compared with what is there now, too. Raises StoreError where the store's list of
    acceptances is damaged.
    """
    states = store.states() if store is not None else {}
    gaps: list[Gap] = []
    done: dict[tuple[str, str], dict[str, list[Finished]]] = {}
    planned: dict[tuple[str, str], list[Job]] = {}
    stale = _stale_names(plan, store)
    loaded: list[Finished] = []
    maps = MapCache()
    for job in plan.jobs:
        planned.setdefault(job.cell, []).append(job)
        state = states.get(job.digest, "todo")
        if store is None or state != "done":
            gaps.append(_gap(job, state, store, stale))
            continue
        try:
            store.check_quickly(job.digest)
            finished = Finished(job, store.result(job.digest), store, maps=maps)
            if job.stage == "evaluate":
                _ = finished.counts
            sources = {item.job.digest: item for item in loaded if item.job.stage == "evaluate"}
            source = next((sources[need.digest] for need in job.needs if need.digest in sources), None)
            if source is not None and isinstance(job.work, Apply):
                finished = replace(finished, tables=read_tables(job, store, source.counts))
            loaded.append(finished)
        except BenchError as error:
            gaps.append(Gap(job, "unreadable", _where(error), fix=error.fix or ""))
    found = standing(loaded, ground, read_accepted(store.path) if store is not None else ())
    for finished in loaded:
        why = found.left_out.get(finished.job.digest)
        if why is None:
            done.setdefault(finished.job.cell, {}).setdefault(finished.job.stage, []).append(finished)
        else:
            gaps.append(Gap(finished.job, "stale", why))
    order = {job.digest: number for number, job in enumerate(plan.jobs)}
    gaps.sort(key=lambda gap: order[gap.job.digest])
    excluded = {(item.model, item.dataset): item.because for item in plan.excluded}
    cells: dict[tuple[str, str], Cell] = {}
    for model in plan.models:
        for dataset in plan.datasets:
            key = (model, dataset)
            jobs = planned.get(key, [])
            cells[key] = Cell(
                model=model,
                dataset=dataset,
                planned=tuple(job for job in jobs if job.stage == "evaluate"),
                folds=tuple(done.get(key, {}).get("evaluate", ())),
                searches=tuple(job for job in jobs if job.stage == "search"),
                trials=tuple(done.get(key, {}).get("search", ())),
                steps={
                    stage: tuple(found)
                    for stage, found in done.get(key, {}).items()
                    if stage not in ("search", "evaluate")
                },
                excluded=excluded.get(key),
            )
    return Evidence(
        spec=spec,
        plan=plan,
        store=store,
        models=tuple(
            model_facts(label, entry, registry, cells)
            for label, entry in zip(plan.models, spec.models, strict=True)
        ),
        datasets=tuple(
            dataset_facts(label, entry, registry, cells, store)
            for label, entry in zip(plan.datasets, spec.datasets, strict=True)
        ),
        cells=cells,
        gaps=tuple(gaps),
        metrics=registry.metrics,
        command=command,
        base=base,
        standing=found,
        elsewhere=tuple(
            dataset_facts(label, entry, registry, cells, store)
            for label, entry in {
                label_of(step.dataset): step.dataset for step in spec.steps if step.dataset is not None
            }.items()
        ),
    )


def _where(error: BenchError) -> str:
    text = f"{error.place}: {error.message}" if error.place else error.message
    return f"{text}: {error.cause}" if error.cause else text


def _stale_names(plan: Plan, store: Store | None) -> set[str]:
    try:
        return {job.name for job in store.stale(plan.jobs)} if store is not None else set()
    except BenchError:
        # A damaged leftover of another plan must not hide the results of this one.
        return set()


def _gap(job: Job, state: str, store: Store | None, stale: set[str]) -> Gap:
    if state == "failed" and store is not None:
        try:
            failure = store.failure(job.digest)
        except StoreError as error:
            return Gap(job, "unreadable", _where(error), fix=error.fix or "")
        return Gap(job, "failed", failure.message, failure.diverged) if failure else Gap(job, "failed")
    if state == "running":
        return Gap(job, "running")
    if job.name in stale:
        return Gap(job, "stale", "the store holds this job under other settings only")
    return Gap(job, "todo")
