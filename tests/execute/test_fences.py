"""An owner that was stopped, lost its job and wakes up again: it writes, records and removes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def play(folder: Path, seeds: range) -> dict[str, Any]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.pause_driver", str(folder), ",".join(map(str, seeds))],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(seeds)
    return found


def check(found: dict[str, Any]) -> None:
    for seed, scene in found.items():
        assert scene["errors"] == [], (seed, scene)
        assert scene["done"] and scene["equal"], (seed, scene)
        assert scene["failed"] == scene["running"] == [], (seed, scene)
        assert set(scene["codes"]) == {0}, (seed, scene)
    assert sum(scene["paused"] for scene in found.values()) > len(found) / 2


@pytest.mark.slow
def test_a_paused_owner_that_wakes_up_harms_nothing(tmp_path: Path) -> None:
    check(play(tmp_path, range(16)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sixty_pauses(tmp_path: Path) -> None:
    check(play(tmp_path, range(100, 160)))
