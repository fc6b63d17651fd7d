"""`bench run --executor`: prepared here, run by workers elsewhere, watched, left, joined and stopped."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from bench_core.cli.elsewhere import scheduler_name
from bench_core.cli.main import run
from bench_core.execute.batch import read_batch
from bench_core.plan.load import load_plan
from bench_core.store.store import Store
from tests.helpers.bench import BENCH, call_bench
from tests.helpers.crowd import start, write


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A study of three short jobs, and executors beside it."""
    return write(tmp_path, "[dots-net]", epochs=1)


def test_a_study_is_prepared_here_and_summed_up_as_if_run_here(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its workers are threads of this process, where three of a compute library would stay.
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    spec.write_text(spec.read_text() + "runtime: {executor: inline, workers: 2, threads: 3}\n")
    store = tmp_path / 'a store\'s "ümlaut"'
    done = start(spec, "--set", "runtime.executors={inline: {minutes: 5}}", store=store)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == r"started a crowd\x1b[31m of\nnobody: 2 worker(s)"
    assert sum(": done, tested miou" in line for line in lines) == 3
    assert any(line.startswith("3 done, in ") for line in lines)
    assert any("dots-net on dots: mdsc" in line and "(mean of 3 jobs)" in line for line in lines)
    assert lines[-1].startswith("next: bench report")
    request, options = json.loads((spec.parent / "request.json").read_text())
    assert options == {"minutes": 5}
    assert (request["workers"], request["devices"], request["cores"]) == (2, 0, 3)
    assert (request["name"], request["store"]) == ("segtrial-small", str(store.resolve()))
    assert Path(request["folder"]).parent == store.resolve() / "queue" / "fleets"
    command = request["command"]
    assert command[:5] == [sys.executable, "-P", "-m", "bench_core.cli.main", "worker"]
    assert command[5] == str(store.resolve()) and command[-2:] == ["--device", "cpu"]
    # What is done is not asked for again.
    (spec.parent / "request.json").unlink()
    before = sorted((store / "queue").rglob("*"))
    again = start(spec, store=store)
    assert again.returncode == 0 and "0 done now, 3 before or elsewhere" in again.stdout
    assert not (spec.parent / "request.json").exists()
    assert sorted((store / "queue").rglob("*")) == before


def test_workers_that_are_gone_are_an_error_with_their_last_words(spec: Path, tmp_path: Path) -> None:
    done = start(spec, "--executor", "nobody", "--workers", "9")
    assert done.returncode == 2
    assert "no worker is alive any more, and 3 job(s) are left" in done.stderr
    assert r"ends with: no crowd \x1b[2Jtoday" in done.stderr and "fix: bench run" in done.stderr
    request, options = json.loads((spec.parent / "request.json").read_text())
    assert (request["workers"], options) == (3, {"minutes": 60})
    batch = read_batch(Store(tmp_path / "results"), request["command"][7])
    assert [job.digest for job in batch.jobs] == [job.digest for job in load_plan(spec)[1].jobs]


FAULTS = {
    "lacking": (2, "cannot be used here", "no sbatch here", "bench doctor"),
    "refuses": (2, "the queue is closed", "", "wait until Monday"),
    "buggy": (1, "executor 'buggy' failed: RuntimeError: queue[0]", "", ""),
    "three": (1, "not a Fleet", "alive()", "bench test three"),
    "processs": (1, "unknown executor 'processs'", ", local, ", "'processes'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_executor_that_starts_nothing_is_one_error(name: str, spec: Path, tmp_path: Path) -> None:
    code, *said = FAULTS[name]
    done = start(spec, "--executor", name)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert all(words in done.stderr for words in said)
    assert not list(tmp_path.glob("results/queue/fleets/*.json"))


def test_words_that_do_not_go_together_are_refused(spec: Path) -> None:
    for words in (
        ["--detach"],
        ["--executor", "local", "--detach"],
        ["--executor", "nobody", "--oversubscribe"],
    ):
        assert start(spec, *words).returncode == 2
    unnamed = call_bench("run", spec, "--executor", "")
    assert unnamed.returncode and "unknown executor ''" in unnamed.stderr
    done = call_bench("run", spec, "--executor", "nobody", "--device", "cuda:1")
    assert done.returncode == 2 and "for the executor to say" in done.stderr
    assert not (spec.parent / "request.json").exists()


def test_with_json_everything_is_an_object(spec: Path) -> None:
    done = start(spec, "--executor", "inline", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "fleet" and kinds[-1] == "summary" and kinds.count("done") == 3
    assert events[0]["executor"] == "inline" and events[-1]["done_now"] == 3


def wait_for(condition: object, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.1)


def claimed(store: Store) -> list[str]:
    return [path.name for path in store.claims.glob("[!.]*")]


@pytest.fixture
def slow_spec(tmp_path: Path) -> Iterator[Path]:
    """The same with jobs that take some seconds; no worker outlives the test."""
    path = write(tmp_path, "[slow-net]", epochs=8)
    yield path
    call_bench("fleets", path, "--store", tmp_path / "results", "--kill")


def front(spec: Path, *words: str) -> subprocess.Popen[str]:
    store = spec.parent.parent / "results"
    command = [*BENCH, "run", spec, "--store", store, "--device", "cpu", "--executor", "processes", *words]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def fleets(spec: Path, *words: str) -> list[dict[str, object]]:
    done = call_bench("fleets", spec, "--store", spec.parent.parent / "results", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_workers_go_on_when_their_front_is_killed_and_are_joined_by_the_next(slow_spec: Path) -> None:
    store = Store(slow_spec.parent.parent / "results")
    left = start(slow_spec, "--executor", "processes", "--workers", "2", "--detach")
    assert left.returncode == 0 and "started 2 processes on" in left.stdout
    assert "look: bench status" in left.stdout and "stop: bench fleets" in left.stdout
    (fleet,) = fleets(slow_spec)
    assert (fleet["alive"], fleet["workers"]) == (2, 2)
    first = front(slow_spec)
    wait_for(lambda: len(claimed(store)) >= 2)
    assert first.stdout is not None
    assert any("joined 2 processes" in line for line in iter(first.stdout.readline, ""))
    first.kill()
    first.communicate()
    assert [row["id"] for row in fleets(slow_spec)] == [fleet["id"]]
    status = call_bench("status", slow_spec, "--store", store.path)
    assert "workers: 2 processes on" in status.stdout and "2 of 2 alive" in status.stdout
    # One more than there are: the living count.
    second = front(slow_spec, "--workers", "3")
    said = second.communicate(timeout=300)[0]
    assert second.returncode == 0, said
    assert "joined 2 processes" in said and "started 1 processes" in said
    assert "3 done" in said and "(mean of 3 jobs)" in said
    assert fleets(slow_spec) == [] and not claimed(store)
    assert "no workers elsewhere" in call_bench("fleets", slow_spec, "--store", store.path).stdout


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_the_same_command_resumes(slow_spec: Path) -> None:
    store = Store(slow_spec.parent.parent / "results")
    running = front(slow_spec, "--workers", "2")
    wait_for(lambda: any(epochs for epochs in store.cut_off(claimed(store)).values()))
    running.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=120)[0]
    assert running.returncode == 130 and "resume with:" in said, said
    assert fleets(slow_spec) == [] and not claimed(store)
    begun = store.cut_off(job.digest for job in load_plan(slow_spec)[1].jobs)
    assert any(begun.values())
    # Asked to end by another process, they give their jobs back, too.
    assert start(slow_spec, "--executor", "processes", "--workers", "1", "--detach").returncode == 0
    wait_for(lambda: claimed(store))
    (stopped,) = fleets(slow_spec, "--stop")
    wait_for(lambda: not fleets(slow_spec))
    assert not claimed(store) and stopped["alive"] == 1
    (path,) = store.path.glob(f"queue/fleets/{stopped['id']}.json")
    assert json.loads(path.read_text())["ended"]


def test_what_workers_need_is_asked_for(spec: Path) -> None:
    text = spec.read_text()
    spec.write_text(text + "runtime: {executor: nobody, devices_per_job: 2, loader_workers: 3, workers: 1}\n")
    for device, devices in (("cuda", 2), ("cpu", 0)):
        call_bench("run", spec, "--store", spec.parent / device, "--device", device, "--detach")
        request, _ = json.loads((spec.parent / "request.json").read_text())
        assert (request["devices"], request["cores"], request["workers"]) == (devices, 8, 1)
        assert request["command"][-1] == device
    told = call_bench("run", spec, "--store", spec.parent / "auto", "--detach")
    assert "--device cuda" in told.stderr and json.loads((spec.parent / "request.json").read_text())


NAMES = {"Study_1.b": "segtrial-study-1-b", "x" * 64: "segtrial-" + "x" * 31, "a-": "segtrial-a"}


@pytest.mark.parametrize(("name", "safe"), NAMES.items())
def test_a_study_s_name_is_one_for_schedulers(name: str, safe: str) -> None:
    assert scheduler_name(name) == safe


def test_an_executor_that_does_not_exist_is_said_before_what_it_is_asked_for(spec: Path) -> None:
    done = call_bench("run", spec, "--executor", "processs", "--device", "zz")
    assert done.returncode == 1 and "unknown executor" in done.stderr and "--device" not in done.stderr


class Gone(io.StringIO):
    """A pipe whose reader has ended."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("words", [(), ("--detach",), ("--json",)])
def test_a_screen_that_is_gone_when_workers_start_changes_nothing(
    words: tuple[str, ...], spec: Path, tmp_path: Path
) -> None:
    stderr = io.StringIO()
    command = ["bench", "run", str(spec), "--store", str(tmp_path / "results"), "--device", "cpu", *words]
    with (
        patch.object(sys, "argv", [*command, "--executor", "inline"]),
        redirect_stdout(Gone()),
        redirect_stderr(stderr),
        patch("bench_core.cli.run.let_go"),
    ):
        code = run()
    assert code == 0, stderr.getvalue()
    assert stderr.getvalue().count("can be printed") == 1
    assert set(Store(tmp_path / "results").states().values()) == {"done"}


MOMENTS = {
    "while it is labelled": "bench_core.execute.fleets._label",
    "when it is told of": "bench_core.cli.elsewhere.Elsewhere.tell",
    "when its run begins": "bench_core.execute.run._Run.run",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_when_workers_have_just_been_started_stops_them(
    moment: str, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MOMENTS[moment], interrupt)
    done = start(spec, "--executor", "heard")
    assert done.returncode == 130 and "interrupted" in done.stderr and "Traceback" not in done.stderr
    assert (spec.parent / "stopped").exists()
