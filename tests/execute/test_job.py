from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench_core.declarations import JobEvent
from bench_core.errors import DataError
from bench_core.execute import keeper as keepers
from bench_core.execute.provenance import RunContext
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.protocol.interfaces import RunOptions
from bench_core.store.files import DiskError
from bench_core.store.store import Store
from bench_core.store.taking import take_claim
from tests.helpers.small_study import load, run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, Plan]:
    loaded, plan = load(tmp_path_factory.mktemp("spec"))
    return loaded.registry, plan


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


def weights(store: Store, job: Job) -> dict[str, torch.Tensor]:
    content = torch.load(store.folder(job.digest) / "best.pt", weights_only=True)
    found: dict[str, torch.Tensor] = content["state_dict"]
    return found


def same_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_job_leaves_everything_that_a_report_needs(study: tuple[Registry, Plan], store: Store) -> None:
    registry, plan = study
    job = plan.jobs[0]
    context = RunContext(spec_name="small", spec_sha256="abc", command="bench run spec.yaml")
    events = run(job, store, registry, context=context)
    assert [event.kind for event in events] == [
        "started",
        *["epoch"] * job.training.epochs,
        "testing",
        "finished",
    ]
    assert store.states() == {job.digest: "done"}
    store.check(job.digest)
    result, counts = store.result(job.digest), store.counts(job.digest)
    assert result.training.epochs_run == 3 and result.tested == "test"
    chosen = result.training.history[result.training.chosen_epoch]
    assert result.training.best_value == chosen.validation["miou"]
    assert result.network.parameters == 4 * 9 + 4 + 4 + 4 + 4 + 1
    facts = result.data
    assert facts.train + facts.validation + facts.test == facts.samples == 15
    assert len(counts.ids) == facts.test and counts.classes == ("dot",)
    assert result.provenance["spec"] == {"name": "small", "sha256": "abc"}
    assert result.provenance["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert result.provenance["threads"] == 1 and result.provenance["device"] == "cpu"
    assert result.attempts == 1 and result.seconds > 0 and result.peak_memory_bytes > 2**20
    assert {case.rank for case in store.cases(job.digest)} <= {"best", "median", "worst"}
    predictions = store.predictions(job.digest)
    assert predictions.ids == counts.ids and predictions.labels.shape == (facts.test, 16, 16)
    assert set(result.files) == {"counts.csv", "cases.npz", "predictions.npz", "best.pt", "trace.jsonl"}
    assert list(store.running.iterdir()) == list(store.claims.iterdir()) == []
    log = (store.folder(job.digest) / "log.txt").read_text()
    assert "bench_core.execute.job: epoch 3/3" in log and job.name in log


def test_the_best_weights_are_the_counted_ones(study: tuple[Registry, Plan], store: Store) -> None:
    registry, plan = study
    job = plan.jobs[0]
    run(job, store, registry)
    content = torch.load(store.folder(job.digest) / "best.pt", weights_only=True)
    assert content["epoch"] == store.result(job.digest).training.chosen_epoch


def test_a_done_job_is_not_run_again(study: tuple[Registry, Plan], store: Store) -> None:
    registry, plan = study
    run(plan.jobs[0], store, registry)
    assert run(plan.jobs[0], store, registry) == []


def test_a_claimed_job_is_left_alone(study: tuple[Registry, Plan], store: Store) -> None:
    registry, plan = study
    claim = take_claim(store.claims, plan.jobs[0].digest)
    assert claim is not None
    assert run(plan.jobs[0], store, registry) == []
    assert claim.held() and list(store.jobs.iterdir()) == []


def test_the_job_of_an_owner_that_the_caller_has_watched_is_run_at_once(
    study: tuple[Registry, Plan], store: Store
) -> None:
    registry, plan = study
    place = store.claims / plan.jobs[0].digest
    place.mkdir()
    owner = {"host": "b", "machine": "b", "pid": 7, "process_start": "7", "started": "then", "token": "gone"}
    (place / "owner.json").write_text(json.dumps(owner))
    assert run(plan.jobs[0], store, registry) == []
    from bench_core.execute.job import run_job

    run_job(plan.jobs[0], store, registry, RunOptions(), lambda event: None, silent="gone")
    assert store.is_done(plan.jobs[0].digest) and list(store.claims.iterdir()) == []


class StopError(Exception):
    """Stands for anything that ends the process."""


def interrupt_after(epochs: int) -> Any:
    def emit(event: JobEvent) -> None:
        if event.kind == "epoch" and event.epoch + 1 == epochs:
            raise KeyboardInterrupt

    return emit


def interrupted(job: Job, store: Store, registry: Registry, after: int) -> None:
    from bench_core.execute.job import run_job

    with pytest.raises(KeyboardInterrupt):
        run_job(job, store, registry, RunOptions(), interrupt_after(after))


def test_an_interrupted_job_goes_on_and_ends_with_the_same_numbers(
    study: tuple[Registry, Plan], store: Store, tmp_path: Path
) -> None:
    registry, plan = study
    job = plan.jobs[0]
    unbroken = Store(tmp_path / "unbroken", create=True)
    run(job, unbroken, registry)
    interrupted(job, store, registry, after=2)
    assert store.state(job.digest) == "todo" and list(store.claims.iterdir()) == []
    events = run(job, store, registry)
    assert sum(event.kind == "epoch" for event in events) == 1, "two epochs were kept"
    assert same_weights(weights(store, job), weights(unbroken, job))
    result = store.result(job.digest)
    assert result.attempts == 2 and result.provenance["environments"] == 1
    assert [r.loss for r in result.training.history] == [
        r.loss for r in unbroken.result(job.digest).training.history
    ]
    log = (store.folder(job.digest) / "log.txt").read_text()
    assert "interrupted" in log and "resuming from" in log and "attempt 2" in log


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_truncated_checkpoint_costs_epochs_and_nothing_else(
    study: tuple[Registry, Plan], store: Store, tmp_path: Path, damaged: int
) -> None:
    registry, plan = study
    finished, job = plan.jobs[:2]
    run(finished, store, registry)
    unbroken = Store(tmp_path / "unbroken", create=True)
    run(job, unbroken, registry)
    interrupted(job, store, registry, after=2)
    place = store.place(job.digest)
    assert place is not None
    states = sorted(place.glob("state-*.pt"), reverse=True)
    for path in states[:damaged]:
        path.write_bytes(path.read_bytes()[:1000])
    events = run(job, store, registry)
    assert sum(event.kind == "epoch" for event in events) == 1 + damaged
    assert same_weights(weights(store, job), weights(unbroken, job))
    store.check(finished.digest)
    log = (store.folder(job.digest) / "log.txt").read_text()
    assert "damaged" in log and ("starts from zero" in log) == (damaged == 2)


def test_a_failure_is_kept_and_the_next_try_starts_anew(tmp_path: Path, store: Store) -> None:
    loaded, plan = load(tmp_path / "spec", models="[broken-net]")
    job = plan.jobs[0]
    with pytest.raises(ValueError, match="has a bug"):
        run(job, store, loaded.registry)
    failure = store.failure(job.digest)
    assert failure is not None and store.state(job.digest) == "failed"
    assert failure.kind == "ValueError" and failure.message == "ValueError: the builder has a bug"
    assert failure.place is not None and "plugin.py:" in failure.place and not failure.resumable
    log = store.log_path(job.digest)
    assert log is not None and "Traceback" in log.read_text()
    assert list(store.claims.iterdir()) == list(store.running.iterdir()) == []
    assert run(job, store, loaded.registry) == [], "a failure that the caller has not seen is left alone"
    with pytest.raises(ValueError):
        run(job, store, loaded.registry, known_failure=failure)
    second = store.failure(job.digest)
    assert second is not None and second.attempts == 2


def test_a_full_disk_is_one_clear_error_and_the_job_goes_on_later(
    study: tuple[Registry, Plan], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plan = study
    finished, job = plan.jobs[:2]
    run(finished, store, registry)
    original, saved = keepers.FolderKeeper.save, []

    def save(self: keepers.FolderKeeper, state: dict[str, Any]) -> None:
        if saved:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        original(self, state)
        saved.append(state)

    with monkeypatch.context() as patch:
        patch.setattr(keepers.FolderKeeper, "save", save)
        with pytest.raises(DiskError) as caught:
            run(job, store, registry)
    assert caught.value.cause == "the disk is full"
    failure = store.failure(job.digest)
    assert failure is not None and failure.resumable
    store.check(finished.digest)
    events = run(job, store, registry, known_failure=failure)
    assert sum(event.kind == "epoch" for event in events) == 2, "the first epoch was kept"
    assert store.states() == {finished.digest: "done", job.digest: "done"}


def on_disk(tmp_path: Path, search: bool = False) -> tuple[Path, Registry, Plan]:
    root = tmp_path / "data"
    root.mkdir()
    (root / "content.txt").write_text("fine")
    loaded, plan = load(
        tmp_path / "spec", datasets=f"[{{name: dots-on-disk, root: {root}}}]", search=search, epochs=1
    )
    return root, loaded.registry, plan


def test_a_corrupt_image_is_named_and_others_stay_done(tmp_path: Path, store: Store) -> None:
    root, registry, plan = on_disk(tmp_path)
    run(plan.jobs[0], store, registry)
    (root / "content.txt").write_text("corrupt")
    with pytest.raises(DataError, match="corrupt"):
        run(plan.jobs[1], store, registry)
    assert store.states() == {plan.jobs[0].digest: "done", plan.jobs[1].digest: "failed"}


def test_data_that_changed_since_the_search_is_refused(tmp_path: Path, store: Store) -> None:
    root, registry, plan = on_disk(tmp_path, search=True)
    *searches, evaluate = (job for job in plan.jobs if job.stage == "search" or job.fold.index == 0)
    for job in searches:
        run(job, store, registry)
    (root / "content.txt").write_text("changed")
    with pytest.raises(DataError, match="changed since its learning rate was searched"):
        run(evaluate, store, registry)
    (root / "content.txt").write_text("fine")
    run(evaluate, store, registry, known_failure=store.failure(evaluate.digest))
    result = store.result(evaluate.digest)
    assert set(result.training.candidates) == {"0.01", "0.001"}
    assert result.training.learning_rate in (0.01, 0.001)


def test_random_weights_come_from_the_jobs_seed(study: tuple[Registry, Plan]) -> None:
    from bench_core.execute.prepare import build_model

    registry, plan = study
    torch.manual_seed(1)
    first = build_model(plan.jobs[0], registry).state_dict()
    torch.manual_seed(2)
    assert same_weights(first, build_model(plan.jobs[0], registry).state_dict())
    assert not same_weights(first, build_model(plan.jobs[1], registry).state_dict())


def test_all_models_of_a_fold_see_the_same_split(study: tuple[Registry, Plan], store: Store) -> None:
    registry, plan = study
    job = plan.jobs[0]
    twin = replace(job, digest="e" * 32, model=replace(job.model, label="twin"))
    for entry in (job, twin):
        run(entry, store, registry)
    assert store.counts(job.digest).ids == store.counts(twin.digest).ids
    assert store.result(job.digest).data == store.result(twin.digest).data
