"""The policy of many workers over a simulated store: what `benchmarks/cluster.py` shows at full size."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench_core.execute.pace import Pace

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COSTS = {
    **{"look: todo": 3, "look: running": 8, "look: done": 1, "survey": 3, "reading": 2},
    **{"claim": 15, "folder": 14, "release": 15, "seal": 8},
}


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("simulated_cluster")


@pytest.mark.parametrize("seed", range(3))
def test_each_job_is_sealed_once_though_workers_come_go_and_die(simulated: ModuleType, seed: int) -> None:
    jobs = simulated.study(500)
    settings = simulated.Settings(workers=12, seed=seed, mean_life=3600.0, late=0.3, early=0.3)
    played = simulated.Simulation(jobs, settings).run()
    # It fails unless each job was sealed exactly once.
    figures = played.figures(COSTS)
    assert figures["workers that died"] > 10 and figures["jobs taken over"] > 10
    assert figures["ratio"] < 1.15
    assert figures["lost work in percent"] < 1


@pytest.mark.parametrize("seed", [23, 24])
def test_job_of_a_worker_that_died_last_is_sealed(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(Pace, "read", lambda *arguments: 0)
    settings = simulated.Settings(workers=12, seed=seed, mean_life=1500.0)
    played = simulated.Simulation(simulated.study(300), settings).run()
    assert played.figures(COSTS)["workers that died"] > 10


def test_what_a_job_costs_is_bounded_as_workers_become_more(simulated: ModuleType) -> None:
    jobs = simulated.study(1000)
    few, many = (
        simulated.Simulation(jobs, simulated.Settings(workers=workers, spread=0.2)).run().figures(COSTS)
        for workers in (2, 50)
    )
    assert few["ratio"] < 1.01 and many["ratio"] < 1.15
    assert many["operations per job"] < 2.5 * few["operations per job"]
    assert many["collisions per job"] < 5


@pytest.mark.parametrize("sizes", [0.0, 1.0])
def test_long_jobs_begin_early_enough_to_end_with_the_others(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch, sizes: float
) -> None:
    jobs, settings = simulated.study(1000), simulated.Settings(workers=20, sizes=sizes)
    told = simulated.Simulation(jobs, settings).run().figures(COSTS)
    monkeypatch.setattr(Pace, "read", lambda *arguments: 0)
    blind = simulated.Simulation(jobs, settings).run().figures(COSTS)
    assert told["ratio"] < 1.01 < 1.02 < blind["ratio"]
    assert 0 < told["of them readings"] < 8 and blind["of them readings"] == 0


@pytest.mark.slow
def test_the_script_counts_on_a_real_store() -> None:
    words = (str(BENCHMARKS / "cluster.py"), "--jobs", "2000", "--workers", "4", "40", "--json")
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["operations"]) == set(COSTS)
    assert all(run["ratio"] < 1.1 and run["operations per job"] < 150 for run in found["runs"])
