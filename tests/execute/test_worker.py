"""`bench worker` as schedulers call it: processes of its own over one store."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest
import torch

from bench_core.cli.prepared import order_of
from bench_core.execute.batch import Batch, batch_ids, batches, queue_batch, remove_batch
from bench_core.execute.executor import Assignment
from bench_core.execute.queue import Order
from bench_core.execute.worker import Worker
from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.small_study import load, write_spec
from tests.helpers.small_study import run as run_here
from tests.helpers.worker_process import WorkerProcess


def test_a_worker_queues_a_spec_and_leaves_nothing_behind(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", search=True, epochs=1), tmp_path / "results"
    done = call_bench("worker", spec, "--store", store, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["counts"] == {"done": 5}
    opened = Store(store)
    assert batch_ids(opened) == [] and list(opened.claims.iterdir()) == []
    environments = {opened.result(digest).provenance["spec"]["name"] for digest in opened.known()}
    assert environments == {"small"}


def queued(tmp_path: Path, **settings: object) -> tuple[Path, Store, str]:
    """Write a spec and queue its jobs; return the plugin file, the store and the batch's ID."""
    loaded, plan = load(tmp_path / "spec", **settings)
    store = Store(tmp_path / "results", create=True)
    batch = Batch("small", plan.jobs, order_of(loaded, 1, 0))
    return tmp_path / "spec" / "plugin.py", store, queue_batch(store, batch).id


def test_code_of_a_store_runs_only_if_it_is_named_or_trusted(tmp_path: Path) -> None:
    plugin, store, batch = queued(tmp_path)
    asked = call_bench("worker", store.path)
    assert asked.returncode == 2 and "code of its own" in asked.stderr and str(plugin) in asked.stderr
    assert f"--batch {batch}" in asked.stderr
    marker = tmp_path / "ran"
    plugin.write_text(f"open({str(marker)!r}, 'w')\n" + plugin.read_text())
    for words in (["--batch", batch], ["--trust-code"]):
        done = call_bench("worker", store.path, *words)
        assert done.returncode == 2 and "has changed since the study was queued" in done.stderr
    plugin.unlink()
    assert "cannot be read" in call_bench("worker", store.path, "--batch", batch).stderr
    assert not marker.exists()


def test_a_worker_without_room_says_what_it_leaves_and_why(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", search=True, epochs=1), tmp_path / "results"
    words = ("worker", spec, "--store", store, "--device", "cpu", "--memory")
    none = call_bench(*words, "0GB")
    assert none.returncode == 2 and "--memory 0GB is none" in none.stderr and "fix: " in none.stderr
    done = call_bench(*words, "1B")
    assert done.returncode == 0, done.stderr
    assert "1 done, 4 left to other workers" in done.stdout
    assert "and 3 more" in done.stdout and "and this worker has 1 B" in done.stdout
    told = call_bench(*words, "1B", "--json")
    assert len(json.loads(told.stdout.splitlines()[-1])["left"]) == 4


def test_devices_that_do_not_fit_are_said_before_anything_is_prepared(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", epochs=1), tmp_path / "results"
    asked = call_bench("worker", spec, "--store", store, "--device", "cpu,cpu")
    assert asked.returncode == 2 and "--set runtime.devices_per_job=2" in asked.stderr
    assert not store.exists()
    # What is queued is as it was queued: the fix is one that this command takes.
    _, opened, batch = queued(tmp_path)
    asked = call_bench("worker", opened.path, "--batch", batch, "--device", "cpu,cpu")
    assert asked.returncode == 2 and "--set" not in asked.stderr and "fix: --device cpu" in asked.stderr


def test_a_store_that_this_machine_does_not_see_is_said(tmp_path: Path) -> None:
    done = call_bench("worker", tmp_path / "nowhere", "--batch", "0" * 32)
    assert done.returncode == 2 and "there is no store" in done.stderr and "fix: mount it" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_what_is_not_queued_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    assert "nothing is queued" in call_bench("worker", store.path).stderr
    done = call_bench("worker", store.path, "--batch", "0" * 32)
    assert done.returncode == 2 and "no batch" in done.stderr
    spec = write_spec(tmp_path / "spec")
    assert call_bench("worker", spec, "--batch", "0" * 32).returncode == 2
    assert call_bench("worker", store.path, "--set", "a=b").returncode == 2


def test_word_of_a_batch_that_has_ended_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    remove_batch(store, queue_batch(store, Batch("small", (), Order())).id)
    (ended,) = (path.stem for path in batches(store).iterdir())
    assert "are done" in call_bench("worker", store.path, "--batch", ended).stdout
    assert json.loads(call_bench("worker", store.path, "--batch", ended, "--json").stdout)["ended"]


def test_damage_in_what_was_queued_is_told_once_and_ends_the_run(tmp_path: Path) -> None:
    store, digest = Store(tmp_path / "results", create=True), "0" * 32
    ended = Worker(store.path, "cpu", lambda message: None).run(Assignment(digest))
    assert ended.outcome == "disk" and ended.failure is not None
    assert digest in (ended.failure.place or "") and ended.failure.fix and ended.failure.resumable


def bits(store: Store) -> dict[str, tuple[bytes, ...]]:
    """Return what must be equal of each job: counts, trace, label maps and weights."""
    found = {}
    for digest in store.known():
        folder = store.folder(digest)
        weights = torch.load(folder / "best.pt", weights_only=True)["state_dict"]
        tensors = b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(weights.items()))
        kept = [(folder / name).read_bytes() for name in ("counts.csv", "trace.jsonl")]
        found[digest] = (*kept, store.predictions(digest).labels.tobytes(), tensors)
    return found


@pytest.mark.slow
def test_killed_preempted_and_late_workers_end_with_the_same_bits(tmp_path: Path) -> None:
    _, store, batch = queued(tmp_path, models="[slow-net]", epochs=10)
    options = ("--batch", batch)

    # Its process is killed by force: the worker lives and tries again.
    first = WorkerProcess(store.path, *options)
    first.until("epoch")
    first.kill_child(signal.SIGKILL)
    assert first.until("again")["event"] == "again"
    # A scheduler announces the end.
    first.until("epoch")
    first.process.send_signal(signal.SIGUSR2)
    code, message = first.end()
    assert code == 130 and "another worker resumes" in message, message
    assert list(store.claims.iterdir()) == [] and "failed" not in first.kinds()

    # The worker itself is killed by force.
    second = WorkerProcess(store.path, *options)
    second.until("epoch")
    second.process.kill()
    second.end()

    # Its time is over before the jobs are.
    third = WorkerProcess(store.path, *options, "--until", "15s")
    code, message = third.end()
    assert code == 130, message
    assert "running" not in store.states().values()

    pids: set[int] = set()
    last = WorkerProcess(
        store.path,
        *options,
        seen=lambda item: pids.update(last.children() if item["event"] == "epoch" else ()),
    )
    code, message = last.end()
    assert code == 0 and last.events[-1]["counts"] == {"done": 3}, message
    assert len(pids) <= 1, "one process runs one job after the other"
    attempts = [store.result(digest).attempts for digest in store.known()]
    assert max(attempts) > 1 and list(store.failed.iterdir()) == list(store.running.iterdir()) == []
    assert batch_ids(store) == [] and [path.name for path in (store.path / "queue").iterdir()] == ["batches"]
    late = call_bench("worker", store.path, *options)
    assert late.returncode == 0 and "are done" in late.stdout

    loaded, plan = load(tmp_path / "spec", models="[slow-net]", epochs=10)
    clean = Store(tmp_path / "clean", create=True)
    for job in plan.jobs:
        run_here(job, clean, loaded.registry)
    assert bits(store) == bits(clean)


@pytest.mark.slow
def test_faults_of_the_method_are_not_tried_again_and_those_of_machines_thrice(tmp_path: Path) -> None:
    _, store, batch = queued(tmp_path, models="[broken-net, fatal-net]", epochs=1)
    fatal = WorkerProcess(store.path, "--batch", batch, "--only", "model=fatal-net", "--only", "fold=0")
    code, message = fatal.end()
    assert code == 1, message
    assert fatal.kinds().count("again") == 2 and fatal.kinds().count("failed") == 1
    broken = [WorkerProcess(store.path, "--batch", batch, "--only", "model=broken-net") for _ in range(2)]
    codes = {worker.end()[0] for worker in broken}
    assert 1 in codes
    assert sum(worker.kinds().count("started") for worker in broken) == 3, "each was tried once in all"
    failures = [failure for digest in store.known() if (failure := store.failure(digest)) is not None]
    faults = Counter((failure.fault, failure.attempts) for failure in failures)
    assert faults == {("method", 1): 3, ("infrastructure", 3): 1}


def test_a_worker_that_ends_at_its_deadline_says_that_work_is_left(tmp_path: Path) -> None:
    _, store, batch = queued(tmp_path, epochs=1)
    # Less than what is kept for saving and giving back: nothing is begun.
    late = call_bench("worker", store.path, "--batch", batch, "--device", "cpu", "--until", "1s")
    assert late.returncode == 130, late.stderr
    assert "3 left to other workers" in late.stdout and "--until" in late.stdout
    assert not [digest for digest, state in store.states().items() if state == "done"]
