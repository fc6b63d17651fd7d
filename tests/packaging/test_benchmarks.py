"""The scripts of benchmarks/ run on the code as it is, each at its smallest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def measure(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_overhead_compares_each_runner_with_the_bare_loop() -> None:
    words = ("--runner", "all", "--size", "32", "--epochs", "2", "--samples", "40", "--json")
    runners: dict[str, Any] = json.loads(measure("overhead.py", *words))["runners"]
    assert set(runners["torch"]["cpu"]["ratio"]) == {"bare loop"}
    assert set(runners["mmseg"]["cpu"]["ratio"]) == {"bare loop", "stock MMEngine"}
    assert all(len(runner["epochs"]) == 2 for runner in runners.values())
    ratios = [ratio["of sums"] for runner in runners.values() for ratio in runner["cpu"]["ratio"].values()]
    assert len(ratios) == 3 and min(ratios) > 0


@pytest.mark.slow
def test_the_loader_is_measured_from_files_and_from_its_cache() -> None:
    found = json.loads(measure("loader.py", "--images", "6", "--size", "64", "--rounds", "1"))
    assert {"cache", "decode_each_time", "cache_study_augmentation"} <= set(found["images_per_second"])
    assert min(found["images_per_second"].values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("models.py", ("--models", "u-net", "--sizes", "64", "--repeats", "1")),
        ("training_memory.py", ("--models", "u-net", "--size", "64", "--batch", "2")),
        ("scan.py", ("--size", "64", "--repeats", "1")),
    ],
    ids=["models", "training_memory", "scan"],
)
def test_a_table_has_a_row_of_what_was_measured(script: str, words: tuple[str, ...]) -> None:
    header, *rows = measure(script, *words).splitlines()
    assert any(sum(cell.replace(".", "").isdigit() for cell in row.split()) >= 2 for row in [header, *rows])
