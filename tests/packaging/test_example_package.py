"""Somebody else's package, installed: its architecture, dataset and listener are used through `bench`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "example_package"
SPEC = """
version: 1
name: example
models: [{name: example-net, options: {width: 4}}]
datasets: [example-squares]
protocol:
  image_size: 32
  pretrained: none
  batch_size: 2
  learning_rate: 1e-2
  evaluate: {folds: 4, epochs: 2, only: [0]}
"""
Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def bench_with_it(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Install the package into a folder, without network, and return a `bench` that sees it."""
    source, target = tmp_path_factory.mktemp("source") / "it", tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))  # builds write beside it
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-index"]
    where = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run([*pip, *where], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": str(target),
            "EXAMPLE_PLUGIN_EVENTS": str(cwd / "events.jsonl"),
            "OMP_NUM_THREADS": "1",
        }
        code = "from bench_core.cli.main import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return call


def test_its_architecture_trains_on_its_dataset_and_its_listener_hears(
    bench_with_it: Bench, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = bench_with_it("run", "spec.yaml", "--store", "store", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished"
    assert [event["epoch"] for event in events if event["kind"] == "epoch"] == [0, 1]


def test_it_is_listed_with_its_origin_and_its_architecture_passes(
    bench_with_it: Bench, tmp_path: Path
) -> None:
    listed = bench_with_it("list", "plugins", cwd=tmp_path)
    assert "example_plugin.plugin" in listed.stdout
    tried = bench_with_it("test", "example-net", "--json", cwd=tmp_path)
    assert tried.returncode == 0 and json.loads(tried.stdout)["passed"], tried.stdout + tried.stderr


def test_its_command_is_one_of_bench(bench_with_it: Bench, tmp_path: Path) -> None:
    called = bench_with_it("example-area", "12", cwd=tmp_path)
    assert (called.returncode, called.stdout) == (0, "144\n"), called.stderr
    shown = bench_with_it("--help", cwd=tmp_path).stdout
    assert "example-area" in shown and "Print the area of a square." in shown
