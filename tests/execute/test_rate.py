from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench_core.errors import DivergedError, StoreError, TrainingError
from bench_core.execute.failures import describe
from bench_core.execute.rate import choose_rate
from bench_core.plan.job import Job, Need
from bench_core.records import Counts, DataFacts, EpochRecord, TrainingRecord
from bench_core.store.result import Result
from bench_core.store.store import Store
from tests.helpers.small_study import load, with_digest


def scored(store: Store, search: Job, digest: str, rate: float, values: list[float]) -> str:
    """Seal a search job whose validation mIoU takes these values, one an epoch."""
    import numpy as np

    job = with_digest(search, digest * 32)
    job = replace(job, work=replace(job.work, learning_rate=rate))
    history = tuple(EpochRecord(i, rate, 1.0, {"miou": value}, 1, 1) for i, value in enumerate(values))
    result = Result(
        digest=job.digest,
        data=DataFacts("f", "h", 3, 3, 1, 1, 1),
        training=TrainingRecord(rate, {}, history, len(values), 0, "miou", values[0]),
        tested="validation",
    )
    store.write(job, result, Counts(("a",), ("a",), ("dot",), np.ones((1, 1, 3), np.int64)))
    return job.digest


def needing(job: Job, digests: tuple[str, ...]) -> Job:
    return replace(job, needs=tuple(Need(digest, "rate") for digest in digests))


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Store, Job, Job]:
    _, plan = load(tmp_path / "spec", search=True)
    search, evaluate = plan.jobs[0], plan.jobs[-1]
    assert search.stage == "search" and evaluate.learning_rate is None
    return Store(tmp_path / "results", create=True), search, evaluate


def test_the_rate_with_the_best_epoch_wins(parts: tuple[Store, Job, Job]) -> None:
    store, search, evaluate = parts
    needs = (
        scored(store, search, "a", 0.1, [0.2, 0.6, 0.1]),
        scored(store, search, "b", 0.01, [0.3, 0.5, math.nan]),
    )
    chosen = choose_rate(needing(evaluate, needs), store)
    assert chosen.value == 0.1 and dict(chosen.candidates) == {"0.01": 0.5, "0.1": 0.6}
    assert chosen.fingerprints == {"f"}


def test_scores_are_averaged_over_search_folds(parts: tuple[Store, Job, Job]) -> None:
    store, search, evaluate = parts
    needs = (
        scored(store, search, "a", 0.1, [0.9]),
        scored(store, search, "b", 0.1, [0.1]),
        scored(store, search, "c", 0.01, [0.6]),
        scored(store, search, "d", 0.01, [0.5]),
    )
    chosen = choose_rate(needing(evaluate, needs), store)
    assert chosen.value == 0.01 and chosen.candidates["0.01"] == pytest.approx(0.55)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_equal_scores_the_smaller_rate_wins(parts: tuple[Store, Job, Job], order: tuple[int, int]) -> None:
    store, search, evaluate = parts
    made = [scored(store, search, "a", 0.1, [0.5]), scored(store, search, "b", 0.01, [0.5])]
    needs = tuple(made[index] for index in order)
    assert choose_rate(needing(evaluate, needs), store).value == 0.01


def test_an_undefined_score_never_wins(parts: tuple[Store, Job, Job]) -> None:
    store, search, evaluate = parts
    undefined = scored(store, search, "a", 0.1, [math.nan])
    defined = scored(store, search, "b", 0.01, [0.0])
    chosen = choose_rate(needing(evaluate, (undefined, defined)), store)
    assert chosen.value == 0.01 and math.isnan(chosen.candidates["0.1"])
    with pytest.raises(TrainingError, match="no learning rate"):
        choose_rate(needing(evaluate, (undefined,)), store)


def diverged(store: Store, search: Job, digest: str, rate: float, error: type[TrainingError]) -> str:
    """Fail a search job with this error."""
    job = with_digest(search, digest * 32)
    job = replace(job, work=replace(job.work, learning_rate=rate))
    store.fail(job, describe(job, error("the loss is nan"), attempts=1))
    return job.digest


def test_a_rate_that_diverged_never_wins(parts: tuple[Store, Job, Job]) -> None:
    store, search, evaluate = parts
    lost = diverged(store, search, "a", 0.1, DivergedError)
    defined = scored(store, search, "b", 0.01, [0.1])
    chosen = choose_rate(needing(evaluate, (lost, defined)), store)
    assert chosen.value == 0.01 and math.isnan(chosen.candidates["0.1"])
    assert chosen.fingerprints == {"f"}
    with pytest.raises(TrainingError, match="no learning rate"):
        choose_rate(needing(evaluate, (lost,)), store)


def test_a_rate_that_failed_otherwise_is_no_candidate_to_leave_out(parts: tuple[Store, Job, Job]) -> None:
    store, search, evaluate = parts
    needs = (diverged(store, search, "a", 0.1, TrainingError), scored(store, search, "b", 0.01, [0.1]))
    with pytest.raises(StoreError, match="not done"):
        choose_rate(needing(evaluate, needs), store)


def test_a_given_rate_is_taken(parts: tuple[Store, Job, Job]) -> None:
    store, search, _ = parts
    chosen = choose_rate(search, store)
    assert chosen.value == search.learning_rate and chosen.candidates == {}


def test_a_search_that_is_not_done_is_an_error(parts: tuple[Store, Job, Job]) -> None:
    store, _, evaluate = parts
    with pytest.raises(StoreError, match="not done") as caught:
        choose_rate(evaluate, store)
    assert "--only stage=search" in str(caught.value.fix)
