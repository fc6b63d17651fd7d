"""The quantities that a study has: of pixel counts, of label maps by a step, and at original sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.quantity import Jobs, Measured, Native, Quantity, pooled
from bench_core.options import complete_options
from bench_core.plan.job import Apply
from bench_core.plugins.quantities import MEASURE, NATIVE, measured_names, native_name, no_quantity


def quantities(evidence: Evidence) -> dict[str, Quantity]:
    """Return all quantities that the study has, by name, in the order of tables."""
    found: dict[str, Quantity] = {}
    for item in (*_pooled(evidence), *_measured(evidence), *_native(evidence)):
        found.setdefault(item.name, item)
    return found


def quantity(evidence: Evidence, name: str) -> Quantity:
    """Return one quantity; raises UnknownNameError with the nearest name, or how to measure it."""
    found = quantities(evidence)
    if name in found:
        return found[name]
    raise no_quantity(name, evidence.metrics, list(found))


def _pooled(evidence: Evidence) -> Iterator[Quantity]:
    for metric in evidence.metrics.values():
        if metric.needs == "counts":
            yield pooled(metric)


def _measured(evidence: Evidence) -> Iterator[Quantity]:
    entries = {
        label: {entry["name"]: entry["options"] for entry in work.options["metrics"]}
        for label, work in _steps(evidence, MEASURE).items()
    }
    jobs = {label: _jobs(evidence, label) for label in entries}
    lengths = {label: _lengths(evidence, label) for label in entries}
    for label, measures, name in measured_names({label: list(found) for label, found in entries.items()}):
        metric = evidence.metrics.get(measures)
        if metric is None:
            continue
        options = complete_options(metric.options, entries[label][measures])
        said = ", ".join(f"{key} {_said(value)}" for key, value in options.items())
        suffix = f" ({said})" if said else ""
        yield Measured(metric=metric, name=name, suffix=suffix, jobs=jobs[label], lengths=lengths[label])


def _native(evidence: Evidence) -> Iterator[Quantity]:
    for label in _steps(evidence, NATIVE):
        jobs = _jobs(evidence, label)
        for metric in evidence.metrics.values():
            if metric.needs == "counts":
                name = native_name(metric.name, label)
                yield Native(metric=metric, name=name, suffix=", original size", jobs=jobs)


def _steps(evidence: Evidence, step: str) -> dict[str, Apply]:
    """Return the work of a step by the labels under which the study has it."""
    return {
        job.stage: job.work
        for job in evidence.plan.jobs
        if isinstance(job.work, Apply) and job.work.step == step
    }


def _jobs(evidence: Evidence, label: str) -> Jobs:
    return {
        digest: done
        for cell in evidence.cells.values()
        for done in cell.steps.get(label, ())
        for digest in done.job.looked_at
    }


def _lengths(evidence: Evidence, label: str) -> dict[str, Literal["px", "mm"]]:
    units: dict[str, Counter[Literal["px", "mm"]]] = {}
    for cell in evidence.cells.values():
        for done in cell.steps.get(label, ()):
            unit: Literal["px", "mm"] = "mm" if done.result.values.get("lengths") == "mm" else "px"
            units.setdefault(cell.dataset, Counter())[unit] += 1
    return {dataset: found.most_common(1)[0][0] for dataset, found in units.items()}


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
