"""One job on several devices, in processes of their own that exchange by gloo."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench_core.execute.devices import DeviceError, choose_slots, processes
from bench_core.execute.machine import Machine, OversubscribedError, check_load, most_workers
from bench_core.processes.liveness import process_start
from bench_core.store.taking import take_claim
from tests.helpers.together_study import Study, wait_for


def trace(study: Study) -> list[dict[str, Any]]:
    path = study.store.folder(study.job.digest) / "trace.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def compare(several: Study, one: Study) -> None:
    for ours, theirs in zip(trace(several), trace(one), strict=True):
        assert ours.pop("loss") == pytest.approx(theirs.pop("loss"), abs=1e-5)
        assert ours == theirs
    ours, theirs = (study.store.predictions(study.job.digest) for study in (several, one))
    assert ours.ids == theirs.ids
    assert (ours.labels == theirs.labels).all()
    counts = [study.store.counts(study.job.digest).values for study in (several, one)]
    assert (counts[0] == counts[1]).all()


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The job, trained by two processes."""
    study = Study.make(tmp_path_factory.mktemp("ranks") / "two")
    study.run_here("cpu", "cpu")
    return study


def test_two_processes_train_as_one_and_leave_what_one_leaves(two: Study, tmp_path: Path) -> None:
    one = Study.make(tmp_path / "one")
    one.run_here("cpu")
    compare(two, one)
    left = [sorted(path.name for path in each.store.folder(each.job.digest).iterdir()) for each in (one, two)]
    assert left[0] == left[1]
    assert two.store.result(two.job.digest).provenance["devices"] == ["cpu", "cpu"]
    assert "devices" not in one.store.result(one.job.digest).provenance
    assert list(two.store.running.iterdir()) == []
    assert two.log().count("epoch 1/3") == 1 and "2 processes on cpu, cpu, by gloo" in two.log()


@pytest.mark.slow
def test_a_killed_process_ends_the_job_which_resumes_with_the_same_bits(two: Study, tmp_path: Path) -> None:
    study = Study.make(tmp_path / "killed")
    study.wish("kill")
    start = time.monotonic()
    code, said = study.run("cpu,cpu")
    assert code == 1 and "a process of the job died" in said
    assert time.monotonic() - start < 100, "nobody waits for the dead"
    failure = study.store.failure(study.job.digest)
    assert failure is not None and failure.resumable and "killed" in str(failure.cause)
    assert failure.place == "process 2 of 2, on cpu"
    claim = take_claim(study.store.claims, study.job.digest)
    assert claim is not None, "the claim was given back"
    claim.release()
    study.queue()
    assert study.run("cpu,cpu") == (0, "")
    assert "resuming from state" in study.log()
    assert study.fingerprint() == two.fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bug", "data"])
def test_a_failure_of_one_process_is_the_jobs(what: str, tmp_path: Path) -> None:
    study = Study.make(tmp_path / what)
    study.wish(what)
    code, said = study.run("cpu,cpu")
    failure = study.store.failure(study.job.digest)
    assert code == 1 and failure is not None and not failure.resumable
    if what == "data":
        assert (failure.kind, failure.message, failure.fix) == (
            "DataError",
            "an image is gone",
            "put it back",
        )
        assert "an image is gone" in said
    else:
        assert failure.message == "ValueError: a bug in one process alone"
        assert 'raise ValueError("a bug in one process alone")' in study.log(), "the traceback is in the log"


@pytest.mark.slow
def test_a_signal_to_the_worker_ends_all_processes_and_gives_the_claim_back(
    two: Study, tmp_path: Path
) -> None:
    study = Study.make(tmp_path / "stopped")
    study.wish("wait")
    with study.worker("cpu,cpu") as worker:
        other = int(wait_for(study.folder / "waiting"))
        assert process_start(other) is not None
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 130
    until = time.monotonic() + 5
    while process_start(other) is not None and time.monotonic() < until:
        time.sleep(0.05)
    assert process_start(other) is None
    claim = take_claim(study.store.claims, study.job.digest)
    assert claim is not None
    claim.release()
    assert study.store.failure(study.job.digest) is None
    assert study.run("cpu,cpu") == (0, "")
    assert study.fingerprint() == two.fingerprint()


@pytest.mark.slow
def test_processes_that_torchrun_starts_train_the_same(two: Study, tmp_path: Path) -> None:
    study = Study.make(tmp_path / "torchrun")
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    code, said = study.run("cpu", sys.executable, *launcher)
    assert code == 0, said
    assert study.fingerprint() == two.fingerprint()


@pytest.mark.slow
def test_mmengine_trains_the_same_in_two_processes_and_writes_one_log(two: Study, tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    study = Study.make(tmp_path / "mmseg", "mmseg", log=True)
    assert study.run("cpu,cpu") == (0, "")
    assert trace(study) == trace(two)
    ours, theirs = (each.store.predictions(each.job.digest).labels for each in (study, two))
    assert (ours == theirs).all()
    folder = study.store.folder(study.job.digest)
    assert len(list(folder.rglob("*.log"))) == 1, "the first process's"
    network = study.store.result(study.job.digest).network
    assert network is not None
    assert any("synchronized over 2 devices" in note for note in network.notes)


def test_slots_hold_the_devices_of_a_job_and_its_processes_are_counted() -> None:
    assert choose_slots("cpu", 2, 1, per_job=3).devices == ("cpu,cpu,cpu",) * 2
    assert choose_slots("cpu,cpu", None, 1, per_job=2).devices == ("cpu,cpu",)
    assert processes(("cpu,cpu", "cpu,cpu")) == ("cpu",) * 4
    with pytest.raises(DeviceError, match="needs 3 devices for each job"):
        choose_slots("cpu,cpu", None, 1, per_job=3)
    machine = Machine(cores=4, memory=2**40)
    assert most_workers(machine, threads=1, loader_workers=0, processes=2) == 2
    check_load(machine, 2, 1, 0, processes=2)
    with pytest.raises(OversubscribedError) as refused:
        check_load(machine, 2, 2, 0, processes=2)
    assert "2 worker(s) x 2 devices_per_job x 2 thread(s) = 8 busy threads" in str(refused.value)


def test_gpus_are_grouped_and_more_than_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench_core.execute.devices._gpu_count", lambda: 5)
    assert choose_slots("cuda", None, 1, per_job=2).devices == ("cuda:0,cuda:1", "cuda:2,cuda:3")
    assert choose_slots("cuda:1,cuda:4", None, 1, per_job=2).devices == ("cuda:1,cuda:4",)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match="`devices_per_job: 6` needs 6 devices"):
            choose_slots(device, None, 1, per_job=6)
