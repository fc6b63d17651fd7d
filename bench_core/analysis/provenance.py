"""Where the numbers come from: what all jobs share, and where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench_core.analysis.evidence import Evidence

PER_RUN = ("run", "environments")
"""Provenance that names one run of one job: it differs by nature and proves nothing."""
SIZES = ("samples", "groups", "train", "validation", "test")
"""Numbers that a job reports about its data."""
HARMLESS = ("host", "device", "devices", "loader_workers", "cpu_cores", "spec", "plugins")
"""Provenance that may differ between jobs without a bearing on numbers."""


@dataclass(frozen=True)
class Trait:
    """One provenance key over all finished jobs."""

    key: str
    values: Mapping[str, int]
    """Value as text to the number of jobs with it, the most frequent first."""

    @property
    def same(self) -> bool:
        """True when all jobs that report it agree."""
        return len(self.values) == 1

    @property
    def suspicious(self) -> bool:
        """True when jobs differ in something that can change numbers, for example a version."""
        return not self.same and self.key.split(".")[0] not in HARMLESS


@dataclass(frozen=True)
class Effort:
    """What a set of jobs took."""

    jobs: int
    seconds: float
    epochs: int
    epochs_planned: int
    stopped_early: int
    resumed: int
    peak_memory_bytes: int


@dataclass(frozen=True)
class DataIdentity:
    """What a dataset was when its jobs ran."""

    dataset: str
    fingerprints: tuple[str, ...]
    fold_hashes: tuple[str, ...]
    sizes: Mapping[str, Any]
    """Numbers that the jobs report about the data, of the first finished evaluate fold."""

    @property
    def consistent(self) -> bool:
        """True when all jobs saw the same samples in the same folds."""
        return len(self.fingerprints) <= 1 and len(self.fold_hashes) <= 1


def traits(evidence: Evidence) -> tuple[Trait, ...]:
    """Return every provenance key that is comparable between jobs, in a fixed order."""
    counted: dict[str, dict[str, int]] = {}
    for _, result in evidence.results:
        for key, value in flatten(result.provenance):
            if key.split(".")[0] in PER_RUN:
                continue
            values = counted.setdefault(key, {})
            values[value] = values.get(value, 0) + 1
    return tuple(
        Trait(key, dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))))
        for key, values in sorted(counted.items())
    )


def flatten(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield dotted keys and values as text of nested mappings."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(str(item) for item in value) or "none"
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        else:
            yield name, "none" if value is None else str(value)


def effort(evidence: Evidence, stage: str | None = None) -> Effort:
    """Return what the finished jobs of a stage (or of all) took."""
    chosen = [(item.job, item.result) for item in evidence.done if stage in (None, item.job.stage)]
    return Effort(
        jobs=len(chosen),
        seconds=sum(result.seconds for _, result in chosen),
        epochs=sum(result.training.epochs_run for _, result in chosen if result.training),
        epochs_planned=sum(job.epochs for job, _ in chosen),
        stopped_early=sum(result.training.stopped_early for _, result in chosen if result.training),
        resumed=sum(result.attempts > 1 for _, result in chosen),
        peak_memory_bytes=max((result.peak_memory_bytes for _, result in chosen), default=0),
    )


def data_identities(evidence: Evidence) -> tuple[DataIdentity, ...]:
    """Return what each dataset was, as the finished jobs recorded it."""
    found = []
    for data in evidence.datasets:
        results = [result for job, result in evidence.results if job.dataset.label == data.label]
        tested = [fold for fold in evidence.folds if fold.job.dataset.label == data.label]
        first = tested[0].result if tested else (results[0] if results else None)
        found.append(
            DataIdentity(
                dataset=data.label,
                fingerprints=_distinct(result.data.fingerprint for result in results),
                fold_hashes=_distinct(result.data.fold_hash for result in results),
                sizes={name: str(getattr(first.data, name)) for name in SIZES} if first is not None else {},
            )
        )
    return tuple(found)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
