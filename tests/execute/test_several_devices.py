"""One job on several devices, in processes of their own that exchange by gloo."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_core.errors import PluginError
from bench_core.execute import crew as module
from bench_core.execute.crew import Crew
from bench_core.execute.devices import DeviceError, choose_slots, processes
from bench_core.execute.executor import Assignment, Ended, Lost
from bench_core.execute.failures import RankLostError
from bench_core.execute.local import LocalExecutor
from bench_core.execute.machine import Machine, OversubscribedError, check_load, most_workers
from bench_core.plan.job import Job
from bench_core.processes.liveness import process_start
from bench_core.store.taking import take_claim
from tests.helpers.together_study import PATIENCE_SECONDS, Study, wait_for


def trace(study: Study, job: Job | None = None) -> list[dict[str, Any]]:
    path = study.store.folder((job or study.job).digest) / "trace.jsonl"
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
    """Both jobs, one after the other trained by the same two processes, of which one dies then."""
    study = Study.make(tmp_path_factory.mktemp("ranks") / "two")
    with closing(study.crew("cpu", "cpu")) as crew:
        study.run_here(crew)
        assert crew.usable(crew.start), "they take another job"
        for other in ({"threads": 2}, {"plugins": ()}, {"devices": ("cpu",) * 3}):
            assert not crew.usable(replace(crew.start, **other)), "it needs other processes"
        study.run_here(crew, study.jobs[1])
        let_die(study.pids()[-1], crew)
    return study


def let_die(process: int, crew: Crew) -> None:
    """A process that is being killed does nothing any more, and for a while its files are still open."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "GRACE_SECONDS", float(PATIENCE_SECONDS))
        assert crew.usable(crew.start)
        os.kill(process, signal.SIGSTOP)
        patched.setattr(module, "GRACE_SECONDS", 0.2)
        assert not crew.usable(crew.start), "it has not answered"
        os.kill(process, signal.SIGKILL)
        patched.setattr(module, "GRACE_SECONDS", float(PATIENCE_SECONDS))
        assert not crew.usable(crew.start), "its end is heard, however long an answer may take"


def test_two_processes_train_as_one_and_leave_what_one_leaves(two: Study, tmp_path: Path) -> None:
    one = Study.make(tmp_path / "one")
    one.run_here()
    compare(two, one)
    first, second = two.pids()
    assert first == second and process_start(first) is None, "one process for both jobs, which has ended"
    left = [sorted(path.name for path in each.store.folder(each.job.digest).iterdir()) for each in (one, two)]
    assert left[0] == left[1]
    assert two.store.result(two.job.digest).provenance["devices"] == ["cpu", "cpu"]
    assert "devices" not in one.store.result(one.job.digest).provenance
    assert list(two.store.running.iterdir()) == []
    assert two.log().count("epoch 1/3") == 1 and "2 processes on cpu, cpu, by gloo" in two.log()


class Worker:
    """A worker process as `bench run` has them, with two processes for each job."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._pool = LocalExecutor(study.store.path, ["cpu,cpu"])

    def run(self, job: Job) -> Ended | Lost:
        """Run a queued job to its end."""
        assert self._pool.start(Assignment(job.digest)) == "cpu,cpu"
        while True:
            for message in self._pool.hear(1.0):
                if isinstance(message, (Ended, Lost)):
                    return message

    def finish(self, job: Job) -> None:
        """Run a queued job that becomes done."""
        ended = self.run(job)
        assert isinstance(ended, Ended) and ended.outcome == "done", ended

    def close(self) -> None:
        """End it."""
        self._pool.dismiss()


@pytest.mark.slow
def test_a_worker_keeps_its_processes_until_one_is_killed_and_resumes_with_the_same_bits(
    two: Study, tmp_path: Path
) -> None:
    study = Study.make(tmp_path / "killed")
    last, first, second = study.jobs
    with closing(Worker(study)) as worker:
        worker.finish(first)
        assert study.fingerprint(first) == two.fingerprint(first), "as the second job of its processes"
        worker.finish(second)
        os.kill(study.pids()[-1], signal.SIGKILL)
        until_gone(study.pids()[-1])
        study.wish("kill")
        ended = worker.run(last)
        assert isinstance(ended, Ended) and ended.outcome == "failed"
        assert len(set(study.pids(0))) == 1, "the worker lives"
        failure = study.store.failure(last.digest)
        assert failure is not None and failure.resumable
        assert failure.message == "a process of the job died" and "killed" in str(failure.cause)
        assert failure.place == "process 2 of 2, on cpu"
        claim = take_claim(study.store.claims, last.digest)
        assert claim is not None, "the claim was given back"
        claim.release()
        study.queue()
        worker.finish(last)
        pids = study.pids()
        assert pids[0] == pids[1] and len(set(pids)) == 3, "new ones only for those that were killed"
        # The worker alone is killed: what it has started ends, too.
        os.kill(study.pids(0)[-1], signal.SIGKILL)
        until_gone(pids[-1])
    assert "resuming from state" in study.log()
    assert study.fingerprint() == two.fingerprint()


@pytest.mark.slow
def test_a_job_does_not_fail_for_a_process_that_died_before_it(two: Study, tmp_path: Path) -> None:
    study = Study.make(tmp_path / "before")
    with closing(Worker(study)) as worker:
        worker.finish(study.jobs[1])
        dying = study.pids()[-1]
        os.kill(dying, signal.SIGSTOP)
        worker.finish(study.job)
        assert study.store.result(study.job.digest).attempts == 1
        assert study.pids()[-1] != dying
        until_gone(dying)
    assert study.fingerprint() == two.fingerprint()


def until_gone(process: int) -> None:
    def is_there() -> bool:
        if process_start(process) is not None:
            return True
        # Its files are open as long as one of its threads has not ended.
        with suppress(OSError):
            return len(list(Path(f"/proc/{process}/task").iterdir())) > 1
        return False

    until = time.monotonic() + 20
    while is_there() and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_there()


@pytest.mark.slow
def test_a_stopped_process_is_noticed_and_one_that_computes_for_long_is_not(
    two: Study, tmp_path: Path
) -> None:
    study = Study.make(tmp_path / "stopped")
    with closing(study.crew("cpu", "cpu", look_seconds=0.3)) as crew:
        study.wish("long")
        study.run_here(crew)
        study.wish("stop")
        with pytest.raises(RankLostError, match="a process of the job does not answer"):
            study.run_here(crew, study.jobs[1])
        assert not crew.usable(crew.start)
    until_gone(study.pids()[-1])
    failure = study.store.failure(study.jobs[1].digest)
    assert failure is not None and failure.resumable and "stopped" in str(failure.cause)
    study.queue()
    with closing(study.crew("cpu", "cpu")) as crew:
        study.run_here(crew, study.jobs[1])
        with (study.folder / "plugin.py").open("a") as plugin:
            plugin.write("# other code than its processes have loaded\n")
        with pytest.raises(PluginError, match="a plugin file was changed"):
            study.run_here(crew, study.jobs[2])
    for job in study.jobs[:2]:
        assert study.fingerprint(job) == two.fingerprint(job)


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
    until_gone(other)
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
    with closing(Worker(study)) as worker:
        for own, native in zip(study.jobs[:2], two.jobs, strict=False):
            worker.finish(own)
            assert trace(study, own) == trace(two, native)
            ours, theirs = study.store.predictions(own.digest), two.store.predictions(native.digest)
            assert (ours.labels == theirs.labels).all()
    assert len(set(study.pids())) == 1
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
