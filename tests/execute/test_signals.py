"""A signal at any moment: claims are given back, nothing is left behind, jobs resume from the last epoch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def shoot(folder: Path, numbers: tuple[signal.Signals, ...], seeds: range) -> dict[str, Any]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    arguments = [str(folder), ",".join(str(int(number)) for number in numbers), ",".join(map(str, seeds))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.signal_driver", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert len(report["outcomes"]) == len(numbers) * len(seeds)
    return report


def check(report: dict[str, Any]) -> None:
    for found in report["outcomes"]:
        assert found["code"] in (0, 130), found
        assert found["claims"] == found["failed"] == found["unfinished"] == found["strays"] == [], found
        assert found["again"] == 0 and found["equal"], found
        assert found["more"] <= report["epochs"] - found["epochs"], f"finished epochs are run again: {found}"


@pytest.mark.slow
def test_a_signal_at_any_moment(tmp_path: Path) -> None:
    report = shoot(tmp_path, SIGNALS, range(4))
    check(report)
    codes = Counter(found["code"] for found in report["outcomes"])
    assert codes[130] > len(report["outcomes"]) / 2, "most of them hit the run at work"


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_each_signal_at_two_hundred_moments(tmp_path: Path, number: signal.Signals) -> None:
    check(shoot(tmp_path, (number,), range(100, 300)))
