"""No process of a run is left behind, whenever and whichever of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench_core.processes.liveness import process_start
from bench_core.store.chain import claim_owner
from bench_core.store.store import Store
from tests.helpers.small_study import write_spec

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    "OMP_NUM_THREADS": "1",
}


def kill_at(folder: Path, seeds: range) -> dict[str, Any]:
    arguments = [str(folder), ",".join(map(str, seeds)), "dots-net"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.orphan_driver", *arguments],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.slow
def test_nothing_outlives_a_killed_run(tmp_path: Path) -> None:
    assert set(map(tuple, kill_at(tmp_path, range(6))["left"].values())) == {()}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nothing_outlives_thirty_killed_runs(tmp_path: Path) -> None:
    assert set(map(tuple, kill_at(tmp_path, range(100, 130))["left"].values())) == {()}


def test_a_worker_that_holds_the_interpreter_lock_dies_with_its_run(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", models="[stuck-net]"), Store(tmp_path / "results")
    command = [sys.executable, "-m", "tests.helpers.bench", "run", str(spec), "--store", str(store.path)]
    run = subprocess.Popen(
        [*command, "--device", "cpu", "--workers", "1"],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    try:
        while not (tmp_path / "spec" / "stuck").exists():
            assert time.monotonic() < until and run.poll() is None
            time.sleep(0.1)
        (claimed,) = (path for path in store.claims.iterdir() if not path.name.startswith("."))
        owner = claim_owner(claimed)
        assert owner is not None and process_start(owner.pid) == owner.process_start
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    while process_start(owner.pid) == owner.process_start:
        assert time.monotonic() < until, "it lives on"
        time.sleep(0.05)
    assert set(store.states().values()) <= {"todo"}
