"""The scripts of benchmarks/ run on the code as it is, each at its smallest."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec

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
def test_the_loader_is_measured_beside_another_on_the_same_images() -> None:
    ways = ("segtrial, cache", "segtrial, files", "MMSegmentation, files", "torchvision, decoded")
    words = ("--images", "4", "--size", "64", "--rounds", "1", "--repeats", "1", "--workers", "1", "--json")
    found = json.loads(measure("loader.py", *words, "--ways", *ways))
    assert set(found["ways"]) == set(ways) and len(found["ratios"]) == 2
    assert all(min(row["1"].values()) > 0 for row in found["ways"].values())


@pytest.mark.slow
def test_the_loader_alone_is_measured() -> None:
    words = ("--only-loader", "32", "1", "--images", "4", "--seconds", "0.1", "--json")
    found = json.loads(measure("loader.py", *words))
    assert (found["size"], found["workers"]) == (32, 1)
    assert found["images_per_second"] > 0 and found["images_per_second_without_augmentation"] > 0


def test_the_loader_is_measured_with_the_studys_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    ways = importlib.import_module("loader_ways")
    loaded = load_spec(BENCHMARKS.parent / "specs" / "paper.yaml")
    (listed,) = {
        json.dumps(job.training.augmentation)
        for job in make_plan(loaded.spec, loaded.registry).jobs
        if job.stage == "evaluate"
    }
    assert json.loads(listed) == json.loads(json.dumps(ways.STUDY))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("models.py", ("--models", "u-net", "--sizes", "64", "--repeats", "1")),
        ("training_memory.py", ("--models", "u-net", "--size", "64", "--batch", "2")),
        ("scan.py", ("--size", "64", "--repeats", "1")),
        ("maps.py", ("--models", "u-kan", "--epochs", "1", "--images", "2")),
    ],
    ids=["models", "training_memory", "scan", "maps"],
)
def test_a_table_has_a_row_of_what_was_measured(script: str, words: tuple[str, ...]) -> None:
    header, *rows = measure(script, *words).splitlines()
    assert any(sum(cell.replace(".", "").isdigit() for cell in row.split()) >= 2 for row in [header, *rows])
