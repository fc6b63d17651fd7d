"""A job that is killed anywhere, and started again, ends with the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def _drive(folder: Path, seeds: range) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    arguments = [str(folder), ",".join(map(str, seeds))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.kill_driver", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _check(report: dict[str, Any], seeds: range) -> None:
    assert set(report["outcomes"]) == set(map(str, seeds))
    different = [seed for seed, found in report["outcomes"].items() if found["equal"] != report["clean"]]
    assert different == []
    assert all(found["leftover"] == [] for found in report["outcomes"].values())
    assert all(found["killed"] > 0 for found in report["outcomes"].values())


def test_killed_job_ends_with_the_same_bits(tmp_path: Path) -> None:
    seeds = range(6)
    _check(_drive(tmp_path, seeds), seeds)


@pytest.mark.slow
def test_a_hundred_kill_points(tmp_path: Path) -> None:
    seeds = range(100, 200)
    _check(_drive(tmp_path, seeds), seeds)
