"""`bench run` as people call it: processes of its own, killed, interrupted, doubled."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from bench_core.execute.executor import Assignment, Ended
from bench_core.execute.local import LocalExecutor
from bench_core.execute.provenance import RunContext
from bench_core.execute.queue import Order, queue_job
from bench_core.execute.worker import Worker
from bench_core.store.store import Store
from tests.helpers.small_study import load, write_spec
from tests.helpers.small_study import run as run_here

REPOSITORY = Path(__file__).resolve().parents[2]
BENCH = (sys.executable, "-m", "tests.helpers.bench")
PATIENCE = 200


class Run:
    """A `bench run --json` in the background; its events are read as they come."""

    def __init__(self, spec: Path, store: Path, *options: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self.process = subprocess.Popen(
            [*BENCH, "run", str(spec), "--store", str(store), "--device", "cpu", "--json", *options],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._watchdog = threading.Timer(PATIENCE, self.process.kill)
        self._watchdog.start()

    def until(self, kind: str) -> dict[str, Any]:
        """Read events up to the first of this kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == kind:
                return self.events[-1]
        raise AssertionError(f"no {kind!r}: {self.events[-3:]} {self.end()}")

    def end(self) -> tuple[int, str]:
        """Read all that is left and return exit code and stderr."""
        out, err = self.process.communicate()
        self._watchdog.cancel()
        self.events += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, err

    def count(self, kind: str) -> Counter[str]:
        """Return how often each job had such an event."""
        return Counter(event["job"] for event in self.events if event["event"] == kind)


def weights(store: Path) -> dict[str, list[torch.Tensor]]:
    found = {}
    for digest in Store(store).known():
        content = torch.load(Store(store).folder(digest) / "best.pt", weights_only=True)
        found[digest] = list(content["state_dict"].values())
    return found


@pytest.mark.slow
def test_two_runs_share_the_work_and_run_nothing_twice(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", search=True, epochs=2), tmp_path / "results"
    runs = [Run(spec, store, "--workers", "1") for _ in range(2)]
    codes = [run.end() for run in runs]
    assert [code for code, _ in codes] == [0, 0], codes
    started = runs[0].count("started") + runs[1].count("started")
    assert len(started) == 5 and set(started.values()) == {1}, "each job was started once by one of them"
    for run in runs:
        assert run.events[-1]["counts"] == {"done": 5}, "each waits for what the other runs"
    assert {Store(store).result(digest).attempts for digest in Store(store).known()} == {1}


@pytest.mark.slow
def test_a_failed_job_stops_no_other(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec", models="[broken-net, fatal-net, dots-net]", search=True, epochs=1)
    store = tmp_path / "results"
    run = Run(spec, store, "--workers", "1", "--only", "fold=0")
    code, _ = run.end()
    summary = run.events[-1]
    assert code == 1 and summary["counts"] == {"blocked": 2, "done": 3, "failed": 4}
    failures = {failure["name"]: failure for failure in summary["failed"]}
    broken, fatal = (failures[f"search/{name}/dots/fold-0/lr-0.01"] for name in ("broken-net", "fatal-net"))
    assert broken["message"] == "ValueError: the builder has a bug"
    assert fatal["kind"] == "WorkerDied" and "memory" in fatal["cause"]
    assert all("failed" in reason for reason in summary["not_run"].values())
    states = Counter(Store(store).states().values())
    assert states == {"done": 3, "failed": 4}

    again = Run(spec, store, "--workers", "1", "--only", "model=broken-net", "--only", "stage=search")
    assert again.end()[0] == 1
    failure = Store(store).failure(broken["digest"])
    assert failure is not None and failure.attempts == 2, "the same command tries failed jobs again"


@pytest.mark.slow
def test_a_rate_that_diverges_is_no_candidate_and_stops_nothing(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec", models="[diverging-net]", search=True, epochs=1)
    store = tmp_path / "results"
    run = Run(spec, store, "--workers", "1", "--only", "fold=0")
    code, _ = run.end()
    summary = run.events[-1]
    assert code == 1 and summary["counts"] == {"done": 2, "failed": 1}
    (failure,) = summary["failed"]
    assert failure["kind"] == "DivergedError" and failure["name"].endswith("lr-0.01")
    evaluated = [
        Store(store).job(digest) for digest, state in Store(store).states().items() if state == "done"
    ]
    (digest,) = (job.digest for job in evaluated if job.stage == "evaluate")
    result = Store(store).result(digest)
    assert result.training.learning_rate == 0.001 and math.isnan(result.training.candidates["0.01"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    spec, store = write_spec(tmp_path / "spec", models="[slow-net]", epochs=6), tmp_path / "results"
    run = Run(spec, store, "--workers", "1", "--only", "fold=0")
    run.until("epoch")
    run.process.send_signal(number)
    code, message = run.end()
    assert code == 130 and "resume with" in message and "--only fold=0" in message
    assert list(Store(store).claims.iterdir()) == []
    (running,) = Store(store).running.iterdir()
    assert {"state-0.pt", "trace.jsonl", "log.txt"} <= {path.name for path in running.iterdir()}
    assert not [path for path in running.iterdir() if path.suffix == ".tmp"]
    before = sum(run.count("epoch").values())
    again = Run(spec, store, "--workers", "1", "--only", "fold=0")
    assert again.end()[0] == 0
    assert sum(again.count("epoch").values()) <= 6 - before, "finished epochs are not run again"


@pytest.mark.slow
def test_kill_9_of_the_whole_run_loses_nothing(tmp_path: Path) -> None:
    loaded, plan = load(tmp_path / "spec", epochs=4)
    spec, store = tmp_path / "spec" / "spec.yaml", tmp_path / "results"
    run = Run(spec, store, "--workers", "1")
    run.until("epoch")
    run.process.kill()
    run.end()
    again = Run(spec, store, "--workers", "1")
    code, message = again.end()
    assert code == 0, message
    for job in plan.jobs:
        run_here(job, Store(tmp_path / "clean", create=True), loaded.registry)
    left, right = weights(store), weights(tmp_path / "clean")
    assert left.keys() == right.keys() and len(left) == 3
    for digest, tensors in left.items():
        assert all(torch.equal(one, two) for one, two in zip(tensors, right[digest], strict=True))


def test_a_store_that_cannot_be_written_ends_the_run_with_one_error(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", epochs=1), tmp_path / "results"
    opened = Store(store, create=True)
    opened.running.rmdir()
    opened.running.symlink_to(tmp_path / "not there")
    run = Run(spec, store, "--workers", "1")
    code, message = run.end()
    assert code == 2 and message.count("error:") == 1 and "Traceback" not in message
    assert "cannot write to the store" in message and str(opened.running) in message


def test_a_job_starts_from_its_digest_and_the_stores_path_alone(tmp_path: Path) -> None:
    loaded, plan = load(tmp_path / "spec", epochs=1)
    job, store = plan.jobs[0], Store(tmp_path / "results", create=True)
    plugins = tuple(Path(path) for path in loaded.registry.plugins.values() if Path(path).is_absolute())
    queue_job(store, job, Order(plugins=plugins, context=RunContext(spec_name="small")))
    command = [sys.executable, "-m", "bench_core.execute.worker", str(store.path), job.digest]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert store.result(job.digest).provenance["spec"]["name"] == "small"


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_forked_worker_takes_nothing_apart_that_its_parent_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thread:
        me: object

        def __del__(self) -> None:
            (tmp_path / str(os.getpid())).touch()

    def run(worker: Worker, assignment: Assignment) -> Ended:
        gc.collect()
        return Ended(assignment.digest, "done")

    monkeypatch.setattr(Worker, "run", run)
    gc.disable()
    try:
        thread = Thread()
        thread.me = thread
        del thread
        pool = LocalExecutor(tmp_path, ["cpu"], "fork")
        assert pool.start(Assignment("0" * 32)) == "cpu"
        while not any(isinstance(message, Ended) for message in pool.hear(1.0)):
            pass
        pool.dismiss()
        assert list(tmp_path.iterdir()) == []
    finally:
        gc.enable()
