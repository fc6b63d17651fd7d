"""What the store holds of a plan, gaps included: nothing that is missing hides what is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.classes import class_scores
from bench_core.analysis.curves import curves
from bench_core.analysis.gather import gather
from bench_core.analysis.provenance import data_identities, effort, traits
from bench_core.analysis.quantity import pooled
from bench_core.analysis.rates import rate_search, searches
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.spec.load import load_spec
from bench_core.store.result import Failure, Result
from tests.helpers.fake_study import Study, with_provenance, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"))


def test_a_complete_study_has_no_gaps(study: Study) -> None:
    evidence = study.evidence()
    assert evidence.complete
    assert len(evidence.results) == len(study.plan.jobs) == 72
    assert len(evidence.folds) == 45
    assert evidence.families == ("GP-VM", "SMA")
    assert [model.title for model in evidence.models] == ["BroadFormer", "WideNeXt", "RingNet"]
    assert evidence.model("wide").deviations[0].setting == "precision"
    assert evidence.model("ring").notes == ("one weight tensor of the stem is new: four input channels",)


def test_gaps_carry_their_state_and_reason(tmp_path: Path) -> None:
    study = write_study(tmp_path, keep=lambda job: job.model.label != "ring" or job.stage == "search")
    broken, failed = [job for job in study.plan.jobs if job.stage == "evaluate"][:2]
    (study.store.folder(broken.digest) / "result.json").write_text("{")
    waiting = next(job for job in study.plan.jobs if job.model.label == "ring" and job.stage == "evaluate")
    study.store.fail(waiting, Failure(waiting.digest, waiting.name, "TrainingError", "the loss became NaN"))
    evidence = study.evidence()
    states = {gap.job.digest: gap for gap in evidence.gaps}
    assert states[broken.digest].state == "unreadable"
    assert states[waiting.digest].state == "failed"
    assert states[waiting.digest].reason == "the loss became NaN"
    assert failed.digest not in states
    assert sum(gap.state == "todo" for gap in evidence.gaps) == 14


def test_results_under_other_settings_are_stale_not_used(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    loaded = load_spec(tmp_path / "study.yaml", ["protocol.batch_size=4"])
    plan = make_plan(loaded.spec, loaded.registry)
    evidence = gather(loaded.spec, plan, loaded.registry, study.store)
    assert {gap.state for gap in evidence.gaps} == {"stale"}
    assert len(evidence.gaps) == len(plan.jobs)
    assert not evidence.results


def test_a_missing_store_is_all_gaps(study: Study) -> None:
    evidence = gather(study.loaded.spec, study.plan, study.loaded.registry, None)
    assert len(evidence.gaps) == 72
    assert not evidence.folds


def test_class_scores_equal_a_recount(study: Study) -> None:
    cell = study.evidence().cell("wide", "hearts")
    found = class_scores(cell, pooled(study.loaded.registry.metric("mdsc")))
    assert list(found) == ["ventricle", "wall", "atrium"]
    for position, name in enumerate(found):
        for fold in cell.folds:
            hit, extra, missed = (int(value) for value in fold.counts.values[:, position].sum(axis=0))
            assert found[name].folds[fold.index] == pytest.approx(
                2 * hit / (2 * hit + extra + missed), abs=1e-15
            )


def test_the_search_knows_its_best_epochs_and_the_grids_edge(study: Study) -> None:
    evidence = study.evidence()
    found = rate_search(evidence.cell("ring", "moles"))
    assert found is not None
    assert found.grid == (1e-4, 5e-5, 1e-5)
    assert found.chosen == {1e-4: 5}
    assert found.at_edge == (1e-4,)
    trial = next(item for item in evidence.cell("ring", "moles").trials if item.job.learning_rate == 5e-5)
    assert found.mean(5e-5) == max(record.validation["miou"] for record in trial.training.history)
    inner = rate_search(evidence.cell("broad", "moles"))
    assert inner is not None
    assert inner.at_edge == ()
    assert replace(found, grid=(1e-4, 5e-5)).at_edge == ()


def test_a_rate_that_diverged_is_told_from_one_that_is_missing(tmp_path: Path) -> None:
    def lost(job: Job) -> bool:
        return job.stage == "search" and job.model.label == "ring" and job.learning_rate == 1e-4

    study = write_study(tmp_path, keep=lambda job: not lost(job))
    for job in filter(lost, study.plan.jobs):
        if job.dataset.label == "moles":
            study.store.fail(job, Failure(job.digest, job.name, "DivergedError", "the loss is nan"))
    found = {(item.model, item.dataset): item for item in searches(study.evidence())}
    assert found["ring", "moles"].diverged == {1e-4}
    assert found["ring", "polyps"].diverged == frozenset()
    assert found["ring", "moles"].mean(1e-4) is None and found["ring", "polyps"].mean(1e-4) is None


def test_the_mean_curve_ends_with_the_shortest_fold(study: Study) -> None:
    found = curves(study.evidence().cell("broad", "polyps"), "mdsc")
    lengths = [len(line.values) for line in found.lines]
    assert len(set(lengths)) > 1
    assert len(found.mean) == min(lengths)
    assert found.mean[3] == pytest.approx(np.mean([line.values[3] for line in found.lines]))


def test_two_versions_in_one_table_are_suspicious_and_hosts_are_not(tmp_path: Path) -> None:
    def change(job: Job, result: Result) -> Result:
        if job.model.label != "ring":
            return result
        changed = with_provenance(job, result, torch="2.11.0")
        return replace(changed, provenance={**changed.provenance, "host": "ffff"})

    study = write_study(tmp_path, change=change)
    found = {trait.key: trait for trait in traits(study.evidence())}
    assert found["packages.torch"].suspicious
    assert found["packages.torch"].values == {"2.14.1": 48, "2.11.0": 24}
    assert not found["host"].same
    assert not found["host"].suspicious
    assert not any(key.startswith(("run", "environments")) for key in found)


def test_other_samples_or_folds_are_noticed(tmp_path: Path) -> None:
    def change(job: Job, result: Result) -> Result:
        if job.dataset.label != "moles" or job.model.label != "wide":
            return result
        return replace(result, data=replace(result.data, fold_hash="other"))

    found = {item.dataset: item for item in data_identities(write_study(tmp_path, change=change).evidence())}
    assert not found["moles"].consistent
    assert found["hearts"].consistent


def test_effort_adds_up(study: Study) -> None:
    evidence = study.evidence()
    whole, parts = effort(evidence), [effort(evidence, stage) for stage in ("search", "evaluate")]
    assert whole.jobs == 72
    assert whole.seconds == pytest.approx(sum(part.seconds for part in parts))
    assert whole.epochs == sum(result.training.epochs_run for _, result in evidence.results)
    assert json.dumps(whole.peak_memory_bytes) == "1234000000"
