"""The learning rate of a job: given, or the best of its search jobs on validation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bench_core.errors import DataError, StoreError, TrainingError
from bench_core.execute.ground import DATA, effective_basis
from bench_core.plan.job import Job
from bench_core.store.accepted import read_accepted
from bench_core.store.result import Result
from bench_core.store.store import Store


@dataclass(frozen=True)
class ChosenRate:
    """The rate a job trains with."""

    value: float
    candidates: Mapping[str, float]
    """Rate as text to its score; empty where nothing was chosen."""
    fingerprints: frozenset[str] = frozenset()
    """Of the data that the search jobs saw."""

    def check_data(self, job: Job, fingerprint: str) -> None:
        """Raise DataError if the rate was chosen on other data than the job's."""
        strange = self.fingerprints - {fingerprint}
        if strange:
            raise DataError(
                f"dataset {job.dataset.label} has changed since its learning rate was searched",
                place=job.dataset.root,
                cause=f"its content is {fingerprint[:12]}, the search saw {min(strange)[:12]}",
                fix="run its search again, too (`bench run SPEC` without --only), or put the files back",
            )


def choose_rate(job: Job, store: Store) -> ChosenRate:
    """Return the job's rate: its own, or the one of its search jobs that scored best.

    A rate's score is the mean over its search folds of the best validation value of `search_monitor` in any
    epoch; a rate that diverged in one of them has none. Of equal scores the smaller rate wins. Raises
    StoreError if a search job is not done, TrainingError if no rate has a defined score.
    """
    if job.learning_rate is not None:
        return ChosenRate(job.learning_rate, {})
    values: dict[float, list[float]] = defaultdict(list)
    fingerprints = set()
    accepted = read_accepted(store.path)
    for digest in job.needed("rate"):
        failure = store.failure(digest)
        if failure is not None and failure.diverged:
            values[_rate_of(digest, store)].append(math.nan)
            continue
        if store.state(digest) != "done":
            raise StoreError(
                "a search job that chooses the learning rate is not done",
                place=f"job {job.name}",
                cause=f"search job {digest} is {store.state(digest)}",
                fix="run the search stage first: `bench run SPEC --only stage=search`",
            )
        result = store.result(digest)
        values[_rate_of(digest, store)].append(search_value(result, job.search_monitor))
        fingerprints.add(effective_basis(result, accepted)[DATA])
    scores = {rate: sum(found) / len(found) for rate, found in sorted(values.items())}
    defined = {rate: score for rate, score in scores.items() if not math.isnan(score)}
    if not defined:
        raise TrainingError(
            f"no learning rate has a validation {job.search_monitor}",
            place=f"job {job.name}",
            cause="all of them diverged, or the validation images of the search folds hold no foreground",
            fix="search smaller rates, or on other folds: `protocol.search`",
        )
    chosen = max(sorted(defined), key=lambda rate: defined[rate])
    return ChosenRate(chosen, {repr(rate): score for rate, score in scores.items()}, frozenset(fingerprints))


def _rate_of(digest: str, store: Store) -> float:
    rate = store.job(digest).learning_rate
    if rate is None:
        raise StoreError("a search job has no learning rate", place=f"job {digest}")
    return rate


def search_value(result: Result, monitor: str) -> float:
    """Return the search metric at its best epoch; NaN where no epoch defines it."""
    history = result.training.history if result.training is not None else ()
    values = [record.validation.get(monitor, math.nan) for record in history]
    return max((value for value in values if not math.isnan(value)), default=math.nan)
