"""The executor ray over a stand-in for Ray: its processes and workers are real, the cluster is not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_core.declarations import FleetRequest
from bench_core.errors import BenchError, MissingDependencyError
from bench_core.options import complete_options
from bench_core.processes.liveness import process_start
from bench_executors import ray
from bench_executors.ray import RAY, RayFleet
from bench_executors.ray_host import refuse_impossible
from tests.helpers.bench import run_bench

FAKE = Path(__file__).resolve().parents[1] / "helpers/fake_ray"
TWO_CPUS = {"nodes": [{"CPU": 2.0}]}
WAITS = """
import signal, sys, time
from pathlib import Path
def stop(number, frame):
    Path(sys.argv[1]).touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
time.sleep(60)
"""
Start = Callable[..., RayFleet]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    started: list[RayFleet] = []
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(FAKE), os.environ["PYTHONPATH"])))

    def begin(
        *command: str, workers: int = 1, cluster: dict[str, Any] = TWO_CPUS, cores: int = 1, **options: Any
    ) -> RayFleet:
        monkeypatch.setenv("FAKE_RAY", json.dumps(cluster))
        folder = tmp_path / "fleet"
        folder.mkdir()
        request = FleetRequest(
            name="study", store=tmp_path, command=command, workers=workers, cores=cores, folder=folder
        )
        fleet = ray.start(request, complete_options(RAY.options, options))
        started.append(fleet)
        return fleet

    yield begin
    for fleet in started:
        assert fleet.host is not None
        fleet.host.kill()
        fleet.host.wait()


def python(code: str, *words: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *map(str, words))


def eventually(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def logs(fleet: RayFleet) -> list[str]:
    return [path.read_text() for path in sorted(fleet.folder.glob("worker-*.log"))]


def test_workers_wait_for_their_place_and_the_fleet_ends_with_the_last(start: Start) -> None:
    fleet = start(*python("import time; time.sleep(0.2); print('worked')"), workers=3)
    assert fleet.alive() in (1, 2, 3)
    eventually(lambda: fleet.alive() == 0)
    assert [log.strip() for log in logs(fleet)] == ["worked"] * 3
    assert fleet.host is not None and fleet.host.wait(30) == 0


def test_a_worker_that_was_killed_starts_again_and_one_that_failed_does_not(
    start: Start, tmp_path: Path
) -> None:
    code = """
import os, sys
from pathlib import Path
tries = Path(sys.argv[1])
tries.write_bytes((tries.read_bytes() if tries.exists() else b"") + b"x")
if len(tries.read_bytes()) == 1:
    os.kill(os.getpid(), 9)
sys.exit("cannot run")
"""
    fleet = start(*python(code, tmp_path / "tries"))
    eventually(lambda: fleet.alive() == 0)
    assert (tmp_path / "tries").read_bytes() == b"xx"
    assert "a worker ended with 1: cannot run" in (fleet.folder / "ray.log").read_text()


def test_stopped_workers_are_asked_and_waiting_ones_leave(start: Start, tmp_path: Path) -> None:
    fleet = start(*python(WAITS, tmp_path / "asked"), workers=2, cluster={"nodes": [{"CPU": 1.0}]})
    eventually(lambda: logs(fleet) == ["up\n"])
    fleet.stop()
    eventually(lambda: fleet.alive() == 0)
    assert (tmp_path / "asked").exists() and logs(fleet) == ["up\n"]


def test_killed_workers_take_along_what_they_have_started(start: Start, tmp_path: Path) -> None:
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
    fleet = start(*python(code))
    eventually(lambda: logs(fleet) != [] and logs(fleet)[0] != "")
    child = int(logs(fleet)[0])
    fleet.stop(kill=True)
    eventually(lambda: fleet.alive() == 0)
    eventually(lambda: process_start(child) is None)


def test_a_worker_is_asked_to_stop_when_its_actor_has_died(start: Start, tmp_path: Path) -> None:
    fleet = start(*python(WAITS, tmp_path / "asked"))
    eventually(lambda: logs(fleet) == ["up\n"])
    assert fleet.host is not None
    fleet.host.kill()
    fleet.host.wait()
    eventually((tmp_path / "asked").exists)
    assert fleet.alive() == 0, "a cluster of its own ends with the host"


def test_another_process_finds_the_fleet_and_stops_it(start: Start, tmp_path: Path) -> None:
    fleet = start(*python(WAITS, tmp_path / "asked"))
    eventually(lambda: logs(fleet) == ["up\n"])
    code = """
import sys
from pathlib import Path
from bench_executors.ray import attach
fleet = attach(Path(sys.argv[1]), {})
assert fleet.alive() == 1
fleet.stop()
"""
    assert subprocess.run(python(code, fleet.folder), timeout=60).returncode == 0
    eventually(lambda: fleet.alive() == 0)
    assert (tmp_path / "asked").exists()
    with pytest.raises(BenchError, match="no workers"):
        ray.attach(tmp_path, {})


@pytest.mark.parametrize(
    ("cluster", "options", "words"),
    [
        ({"error": ["RuntimeError", "Version mismatch: Ray: 2.9"]}, {"address": "auto"}, "Ray: 2.9"),
        ({"error": ["SystemExit", "15"]}, {"address": "auto"}, "there is no Ray cluster"),
        ({"error": ["ConnectionError", "Could not find any"]}, {"address": "auto"}, "Could not find any"),
        ({"error": ["RuntimeError", "no space\nleft"]}, {}, "no space left"),
        (TWO_CPUS, {"address": "nonsense"}, "not the address"),
        (TWO_CPUS, {"address": "ray://head:10001"}, "not the address"),
        (TWO_CPUS, {"cpus": 64}, "64 CPU, of which one has at most 2"),
        (TWO_CPUS, {"resources": {"fast": "yes"}}, "write a number"),
        (TWO_CPUS, {"resources": {"GPU": 1}}, "an option of its own"),
    ],
)
def test_what_ray_refuses_is_one_message_with_what_to_do(
    start: Start, cluster: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(BenchError) as caught:
        start(*python("pass"), cluster=cluster, **options)
    assert words in str(caught.value) and caught.value.fix and "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"CPU": 1.0, "GPU": 0.5}, "0.5 GPU, of which one has at most 0"),
        ({"CPU": 4.0, "fast": 1.0}, "no node has all of it"),
        ({"CPU": 5.0, "memory": 8e9}, "ask for less (cpus)"),
    ],
)
def test_what_no_node_can_carry_is_refused_with_the_options_that_ask_for_it(
    needs: dict[str, float], words: str
) -> None:
    nodes = [{"CPU": 4.0, "memory": 8e9}, {"CPU": 1.0, "fast": 1.0}]
    with pytest.raises(BenchError) as caught:
        refuse_impossible(needs, nodes, autoscaling=False)
    assert words in str(caught.value)
    refuse_impossible(needs, nodes, autoscaling=True)
    refuse_impossible({"CPU": 4.0, "memory": 8e9}, nodes, autoscaling=False)


def test_an_address_where_nobody_listens_is_told_at_once(start: Start) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BenchError, match=f"there is no Ray cluster at {address}"):
            start(*python("pass"), address=address)


def test_nodes_that_a_cluster_adds_later_are_waited_for(start: Start, tmp_path: Path) -> None:
    fleet = start(*python("pass"), cores=64, autoscaling=True)
    assert fleet.alive() == 1
    fleet.stop()
    eventually(lambda: fleet.alive() == 0)
    assert logs(fleet) == []


def test_without_ray_it_is_said_how_to_install_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench_core.execute.fleets.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as caught:
        start(*python("pass"))
    assert caught.value.fix is not None and caught.value.fix.startswith("pip install")


@pytest.mark.slow
def test_it_has_the_properties_of_every_executor(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_RAY", json.dumps(TWO_CPUS))
    done = run_bench("test", "ray", "--json")
    assert done.returncode == 0, done.stdout[-2000:]
