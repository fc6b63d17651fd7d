"""Fleets on an emulated cluster, with shell commands as workers: what becomes of each way to end."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_core.declarations import FleetRequest
from bench_core.errors import BenchError
from bench_core.options import complete_options
from bench_executors.slurm.declaration import SLURM
from bench_executors.slurm.fleet import SlurmFleet, attach, start
from tests.slurm.cluster import Cluster
from tests.slurm.configuration import LARGEST_ARRAY

pytestmark = pytest.mark.slow
WORKER = """
import os, signal, sys, time
from pathlib import Path
folder, ends = Path(sys.argv[1]), [int(text) for text in sys.argv[2].split(",")]
def note(word):
    with (folder / "notes").open("a") as file:
        file.write(f"{os.environ['SLURM_ARRAY_TASK_ID']} {word}\\n")
def stop(number, frame):
    note("stopped")
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
starts = [line for line in (folder / "notes").read_text().splitlines() if line.endswith("started")]
note("started")
end = ends[min(len(starts), len(ends) - 1)]
if end < 0:
    os.kill(os.getpid(), -end)
if end == 999:
    time.sleep(1000)
sys.exit(end)
"""
"""Ends as the list says for its n-th start: with a code, by a signal (negative), or waits (999)."""


STRANGE = ["100% é 'x' \"y\" $HOME `id` %A", "a\\b\\ %A"]


@pytest.fixture(params=STRANGE[:1])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    made = tmp_path / request.param
    made.mkdir()
    (made / "notes").touch()
    return made


@pytest.fixture(autouse=True)
def _environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield
    for job in {name.split("_")[0] for name in cluster.jobs()}:
        cluster.call("scancel", "--full", "--signal=KILL", job, check=False)
        cluster.call("scancel", job)
    cluster.wait(lambda: not cluster.jobs(), "the queue to be empty")


def request(folder: Path, ends: str, workers: int = 1, **changes: Any) -> FleetRequest:
    command = (sys.executable, "-c", WORKER, str(folder), ends)
    return FleetRequest(
        name="study", store=folder, command=command, workers=workers, folder=folder, **changes
    )


def begin(folder: Path, ends: str, workers: int = 1, **given: Any) -> SlurmFleet:
    given.setdefault("pause", 0)
    return start(request(folder, ends, workers), complete_options(SLURM.options, given))


def notes(folder: Path) -> list[str]:
    return [line.split()[1] for line in (folder / "notes").read_text().splitlines()]


def log(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("*.log")))


def test_worker_that_finds_nothing_left_ends_the_job(cluster: Cluster, folder: Path) -> None:
    fleet = begin(folder, "0", workers=3)
    cluster.wait(lambda: fleet.alive() == 0, "the fleet to end")
    assert notes(folder) == ["started"] * 3
    assert log(folder) == ""


@pytest.mark.parametrize("folder", STRANGE, indirect=True)
def test_worker_that_crashes_is_started_again_and_a_failed_job_is_not(cluster: Cluster, folder: Path) -> None:
    fleet = begin(folder, "-9,2,1,0")
    cluster.wait(lambda: fleet.alive() == 0, "the fleet to end")
    assert notes(folder) == ["started"] * 3
    assert "the worker ended with 137" in log(folder)


def test_time_limit_requeues_a_worker_once_it_has_stopped(cluster: Cluster, folder: Path) -> None:
    fleet = begin(folder, "999,0")
    cluster.wait(lambda: notes(folder) == ["started"], "the worker to start")
    # As Slurm does before the time limit (--signal=B:USR1).
    cluster.call("scancel", "--batch", "--signal=USR1", fleet.label.split()[-1])
    cluster.wait(lambda: fleet.alive() == 0, "the fleet to end")
    assert notes(folder) == ["started", "stopped", "started"]
    assert "requeued" in log(folder)


def test_preempted_worker_comes_back(cluster: Cluster, folder: Path) -> None:
    fleet = begin(folder, "999,0")
    cluster.wait(lambda: notes(folder) == ["started"], "the worker to start")
    cluster.call("scontrol", "requeue", f"{fleet.label.split()[-1]}_1")
    cluster.wait(lambda: fleet.alive() == 0, "the fleet to end")
    assert notes(folder)[0::2] == ["started", "started"]


@pytest.mark.parametrize("kill", [False, True])
def test_fleet_is_stopped_by_another_process_and_stays_so(cluster: Cluster, folder: Path, kill: bool) -> None:
    assert begin(folder, "999", workers=20, starts=30).alive() == 30
    cluster.wait(lambda: notes(folder).count("started") == 16, "16 workers, as many as there are cores")
    fleet = attach(folder, {})
    fleet.stop(kill=kill)
    cluster.wait(lambda: fleet.alive() == 0, "the fleet to end")
    assert not cluster.processes(str(folder))
    assert notes(folder).count("started") == 16
    if not kill:
        assert notes(folder).count("stopped") == 16


def test_large_fleet_is_split_where_arrays_are_small(cluster: Cluster, folder: Path) -> None:
    fleet = begin(folder, "999", workers=LARGEST_ARRAY + 50)
    assert fleet.label.startswith("Slurm jobs")
    assert fleet.alive() == LARGEST_ARRAY + 50
    fleet.stop(kill=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"partition": "nowhere"}, "invalid partition"),
        ({"time": "1:00:00", "directives": ["--nonsense"]}, "nonsense"),
        ({"gpu_type": "a100"}, "gres|configuration"),
        ({"constraint": "fast"}, "feature"),
        ({"memory": "900T"}, "set a smaller runtime.executors.slurm.memory"),
        ({"memory": "16 G"}, 'as Slurm does: "16G"'),
    ],
)
def test_refusal_is_told_in_slurms_words(
    cluster: Cluster, folder: Path, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(BenchError) as caught:
        start(request(folder, "0", devices=1), complete_options(SLURM.options, given))
    assert caught.value.fix
    assert re.search(words, str(caught.value), re.IGNORECASE)
    assert cluster.jobs() == {}


def test_alive_is_not_known_where_the_controller_does_not_answer(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = begin(folder, "999")
    monkeypatch.setenv("SLURM_CONF", os.devnull)
    assert fleet.alive() is None
