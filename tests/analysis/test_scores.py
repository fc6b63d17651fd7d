"""The study's table: equal to a naive recount, and ranking only what can be compared."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.pairs import contest, pair
from bench_core.analysis.quantity import pooled
from bench_core.analysis.scores import AVERAGE, Board, score, shared_folds
from bench_core.analysis.scores import board as board_of
from bench_core.metrics.scale import PERCENT
from bench_core.plan.job import Job
from bench_core.plugins.wiring import load_registry
from bench_core.records import Counts
from tests.helpers.fake_study import Study, fake_result, oracle_micro, write_study

DICE = pooled(load_registry().metric("mdsc"))


def board(evidence: Evidence, name: str) -> Board:
    return board_of(evidence, pooled(evidence.metrics[name]))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"))


def flat_counts(job: Job, hits: int, of: int = 1000) -> Counts:
    """Return one image whose Dice is hits / of in every class."""
    classes = job.dataset.task.classes
    values = np.array([[[hits, of - hits, of - hits]] * len(classes)], dtype=np.int64)
    return Counts(("one",), ("one",), classes, values)


def ranked_study(folder: Path, dice: dict[str, list[int]], **changes: object) -> Evidence:
    """Return a study in which model and fold decide the Dice (in tenths of a percent), on all datasets."""

    def counts(job: Job) -> Counts:
        return flat_counts(job, dice[job.model.label][job.fold.index])

    changes = {"keep": lambda job: job.stage == "evaluate", **changes}
    return write_study(folder, counts_of=counts, **changes).evidence()  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["mdsc", "miou", "mrecall", "mprecision"])
def test_every_score_equals_a_recount(study: Study, metric: str) -> None:
    found = board(study.evidence(), metric)
    for row in found.rows:
        means = []
        for dataset, item in row.scores.items():
            jobs = [
                job
                for job in study.plan.jobs
                if job.stage == "evaluate" and (job.model.label, job.dataset.label) == (row.model, dataset)
            ]
            expected = {job.fold.index: oracle_micro(study.store.counts(job.digest))[metric] for job in jobs}
            assert dict(item.folds) == expected
            assert item.mean == pytest.approx(statistics.mean(expected.values()), abs=1e-15)
            assert item.std == pytest.approx(np.std(list(expected.values()), ddof=1), abs=1e-15)
            assert item.complete
            means.append(item.mean)
        assert row.ranked[AVERAGE] == pytest.approx(sum(means) / 3, abs=1e-15)


def test_values_that_print_alike_share_the_lead(tmp_path: Path) -> None:
    evidence = ranked_study(
        tmp_path, {"broad": [900] * 5, "wide": [900, 900, 900, 900, 901], "ring": [890] * 5}
    )
    found = board(evidence, "mdsc")
    assert found.best("moles") == {"broad", "wide"}
    assert found.best("moles", more=1) == {"wide"}
    assert found.best(AVERAGE, "GP-VM") == {"broad", "wide"}


def test_a_family_of_one_has_no_best(tmp_path: Path) -> None:
    evidence = ranked_study(tmp_path, {"broad": [900] * 5, "wide": [880] * 5, "ring": [950] * 5})
    found = board(evidence, "mdsc")
    assert found.best("moles") == {"ring"}
    assert found.best("moles", "GP-VM") == {"broad"}
    assert found.best("moles", "SMA") == frozenset()


def test_an_incomplete_cell_is_not_ranked_with_complete_ones(tmp_path: Path) -> None:
    def keep(job: Job) -> bool:
        return not (job.model.label == "wide" and job.dataset.label == "hearts" and job.fold.index > 2)

    dice = {"broad": [900] * 5, "wide": [990] * 5, "ring": [890] * 5}
    found = board(ranked_study(tmp_path, dice, keep=keep), "mdsc")
    assert found.best("moles") == {"wide"}
    assert found.best("hearts") == {"broad"}
    assert found.row("wide").scores["hearts"].planned == 5
    assert len(found.row("wide").scores["hearts"].folds) == 3
    assert AVERAGE not in found.row("wide").ranked
    assert found.best(AVERAGE) == {"broad"}


def test_a_study_that_stopped_early_ranks_over_the_folds_that_all_have(tmp_path: Path) -> None:
    dice = {"broad": [900, 910, 0, 0, 0], "wide": [905, 915, 0, 0, 0], "ring": [890, 895, 0, 0, 0]}
    found = board(ranked_study(tmp_path, dice, keep=lambda job: job.fold.index < 2), "mdsc")
    assert found.shared["moles"] == (0, 1)
    assert found.row("wide").ranked["moles"] == pytest.approx(0.91)
    assert found.best("moles") == {"wide"}


def test_an_excluded_cell_takes_the_model_out_of_the_average_only(tmp_path: Path) -> None:
    more = "exclude:\n  - {model: broad, dataset: hearts, because: does not fit}\n"
    dice = {"broad": [990] * 5, "wide": [900] * 5, "ring": [890] * 5}
    evidence = ranked_study(tmp_path, dice, more=more)
    found = board(evidence, "mdsc")
    assert evidence.cell("broad", "hearts").excluded == "does not fit"
    assert found.best("moles") == {"broad"}
    assert found.best(AVERAGE) == {"wide"}
    assert "hearts" not in found.row("broad").scores


def test_a_dataset_that_one_model_has_is_not_averaged(tmp_path: Path) -> None:
    def keep(job: Job) -> bool:
        return job.dataset.label != "hearts" or job.model.label == "ring"

    dice = {"broad": [900] * 5, "wide": [880] * 5, "ring": [950] * 5}
    found = board(ranked_study(tmp_path, dice, keep=keep), "mdsc")
    assert found.averaged == ("moles", "polyps")
    assert found.best("hearts") == frozenset()


def test_undefined_metrics_are_left_out_not_counted_as_zero(study: Study) -> None:
    cell = study.evidence().cell("broad", "moles")
    empty = replace(cell.folds[0].counts, values=np.zeros_like(cell.folds[0].counts.values))
    first = replace(cell.folds[0])
    vars(first)["counts"] = empty
    changed = replace(cell, folds=(first, *cell.folds[1:]))
    found = score(changed, DICE)
    assert found is not None
    assert sorted(found.folds) == [1, 2, 3, 4]
    assert (found.complete, found.undefined) == (False, 1)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_mean_and_std_equal_numpy_for_any_counts(study: Study, data: st.DataObject) -> None:
    jobs = [job for job in study.plan.jobs if job.stage == "evaluate" and job.dataset.label == "polyps"][:4]
    numbers = st.integers(min_value=0, max_value=2**40)
    folds = []
    for job in jobs[: data.draw(st.integers(1, 4))]:
        rows = data.draw(
            st.lists(
                st.lists(st.tuples(numbers, numbers, numbers), min_size=2, max_size=2), min_size=1, max_size=4
            )
        )
        values = np.array(rows, dtype=np.int64)
        values[0, 0, 0] += 1
        names = tuple(str(index) for index in range(len(rows)))
        counts = Counts(names, names, job.dataset.task.classes, values)
        folds.append(Finished(job, fake_result(job, counts), study.store))
        vars(folds[-1])["counts"] = counts
    cell = Cell("m", "d", tuple(jobs), tuple(folds), (), ())
    found = score(cell, DICE)
    assert found is not None
    expected = [oracle_micro(fold.counts)["mdsc"] for fold in folds]
    assert found.mean == pytest.approx(np.mean(expected), rel=1e-12)
    assert (found.std is None) == (len(folds) == 1)
    if found.std is not None:
        assert found.std == pytest.approx(np.std(expected, ddof=1), rel=1e-9, abs=1e-15)
    assert found.complete == (len(folds) == 4)


def test_the_contest_is_between_families_and_pairs_folds(tmp_path: Path) -> None:
    dice = {"broad": [900, 900, 900, 900, 900], "wide": [895] * 5, "ring": [890, 890, 890, 890, 905]}
    evidence = ranked_study(tmp_path, dice)
    scores = board(evidence, "mdsc")
    duel = contest(evidence, scores)
    assert duel is not None
    assert (duel.leader, duel.rival, duel.between_families) == ("broad", "ring", True)
    assert (duel.folds, duel.won, duel.lost, duel.steady) == (15, 12, 3, False)
    assert duel.gap == pytest.approx(0.007)
    found = pair(scores, "ring", "broad", "moles")
    assert found is not None
    assert found.mean == pytest.approx(-0.007)
    assert found.std == pytest.approx(np.std([-0.01] * 4 + [0.005], ddof=1))


def test_leaders_and_shared_folds_need_two() -> None:
    assert PERCENT.leaders({"only": 0.9}) == frozenset()
    assert PERCENT.leaders({}) == frozenset()
    assert shared_folds([]) == ()


def test_nobody_leads_with_zero(tmp_path: Path) -> None:
    evidence = ranked_study(tmp_path, {"broad": [0] * 5, "wide": [0] * 5, "ring": [0] * 5})
    found = board(evidence, "mdsc")
    for column in ("moles", AVERAGE):
        assert found.best(column) == found.best(column, "GP-VM") == frozenset()


def test_a_score_that_is_undefined_is_told_from_a_fold_that_is_not_finished(tmp_path: Path) -> None:
    def counts(job: Job) -> Counts:
        found = flat_counts(job, 900)
        if job.dataset.label == "moles" and job.model.label == "broad":
            found.values[:] = 0
        return found

    def keep(job: Job) -> bool:
        return job.model.label != "wide"

    found = board(write_study(tmp_path, counts_of=counts, keep=keep).evidence(), "mdsc")
    assert found.waiting == ("wide",)
    assert found.row("broad").undefined == {"moles"}
    assert found.row("wide").undefined == found.row("ring").undefined == frozenset()
