"""Repeats of the same folds, and repeats that deal anew, through plan, run, report and verify."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.gather import gather
from bench_core.analysis.quantity import Pooled
from bench_core.analysis.scores import score
from bench_core.analysis.verify.audit import open_audit
from bench_core.analysis.verify.run import verify
from bench_core.plan.expand import make_plan
from bench_core.plan.job import fold_seed, job_seed
from bench_core.report.compose import compose
from bench_core.report.tables import Table
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import run, write_spec

pytestmark = pytest.mark.usefixtures("one_thread")


def spec_of(folder: Path, evaluate: str) -> Path:
    path = write_spec(folder, epochs=1)
    text = path.read_text()
    assert "{folds: 3, epochs: 1}" in text
    path.write_text(text.replace("{folds: 3, epochs: 1}", evaluate))
    return path


def test_repeats_draw_new_weights_on_the_same_folds_and_count_as_folds(tmp_path: Path) -> None:
    loaded = load_spec(spec_of(tmp_path, "{folds: 3, epochs: 1, repeats: 2}"))
    plan, store = make_plan(loaded.spec, loaded.registry), Store(tmp_path / "results", create=True)
    assert [(job.fold.index, job.repeat) for job in plan.jobs] == [(f, r) for r in (0, 1) for f in (0, 1, 2)]
    assert [job.name.rpartition("/")[2] for job in plan.jobs[3:]] == ["repeat-1"] * 3
    for job in plan.jobs:
        run(job, store, loaded.registry)
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    folds = evidence.finished("evaluate", "dots-net", "dots")
    assert [fold.index for fold in folds] == list(range(6))
    for first, second in zip(folds[:3], folds[3:], strict=True):
        assert first.counts.ids == second.counts.ids and job_seed(first.job) != job_seed(second.job)
        assert first.result.data == second.result.data
        assert first.training is not None and second.training is not None
        assert first.training.history[0].loss != second.training.history[0].loss
    found = score(evidence.cell("dots-net", "dots"), Pooled(metric=evidence.metrics["mdsc"], name="mdsc"))
    assert found is not None and found.complete and len(found.folds) == 6
    tables = {table.name: table for table in compose(evidence, loaded.registry).tables}
    assert _column(tables["study-mdsc"], "dots") == [(found.mean, found.std, 6, 6, "fraction")]
    checked = verify(open_audit(loaded.spec, plan, loaded.registry, store))
    assert checked.ok and checked.complete, checked.findings


def test_a_repeat_that_deals_anew_has_other_folds(tmp_path: Path) -> None:
    loaded = load_spec(spec_of(tmp_path, "{folds: 3, epochs: 1, repeats: 2, reshuffle: true}"))
    plan, store = make_plan(loaded.spec, loaded.registry), Store(tmp_path / "results", create=True)
    assert [job.fold.deal for job in plan.jobs] == [0, 0, 0, 1, 1, 1]
    assert fold_seed(plan.jobs[0]) == loaded.spec.seed != fold_seed(plan.jobs[3])
    for job in plan.jobs:
        run(job, store, loaded.registry)
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    folds = evidence.finished("evaluate", "dots-net", "dots")
    tested = [sample for fold in folds for sample in fold.counts.ids]
    assert all(tested.count(sample) == 2 for sample in tested) and len(set(tested)) == 15
    assert len({fold.result.data.fold_hash for fold in folds}) == 2
    assert any(
        first.counts.ids != second.counts.ids for first, second in zip(folds[:3], folds[3:], strict=True)
    )
    checked = verify(open_audit(loaded.spec, plan, loaded.registry, store))
    assert checked.ok and checked.complete, checked.findings
    tables = {table.name: table for table in compose(evidence, loaded.registry).tables}
    assert np.isfinite(_column(tables["study-mdsc"], "dots")[0][0])


def test_the_first_repeat_is_the_study_without_repeats(tmp_path: Path) -> None:
    plans = []
    for evaluate in ("{folds: 3, epochs: 1}", "{folds: 3, epochs: 1, repeats: 2}"):
        loaded = load_spec(spec_of(tmp_path, evaluate))
        plans.append([job.digest for job in make_plan(loaded.spec, loaded.registry).jobs])
    assert plans[0] == plans[1][:3] and len(set(plans[1])) == 6


def _column(table: Table, key: str) -> list[tuple[object, ...]]:
    place = [column.key for column in table.columns].index(key)
    return [row.cells[place].values for row in table.rows]
