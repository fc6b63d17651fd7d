"""What `bench new KIND` writes is clean, loads, is valid in a spec, and passes the test written beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.errors import BenchError
from bench_core.plugins.wiring import load_registry
from bench_core.scaffold.files import KINDS
from bench_core.scaffold.trial import write_trial

REPOSITORY = Path(__file__).resolve().parents[2]
USES = {
    "dataset": {"dataset": "my-own"},
    "step": {"more": "steps: [my-own]"},
    "metric": {"more": "steps: [{name: measure, options: {metrics: [my-own]}}]"},
    "runner": {"model": "my-own"},
    "executor": {"more": "runtime: {executor: my-own, executors: {my-own: {nice: 5}}}"},
    "analysis": {"more": "analyses: [my-own]"},
}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(bench, list(arguments))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_kind_beside_models_is_tried_here() -> None:
    assert set(KINDS) == {"model", *USES}


@pytest.mark.parametrize("name", ["my-own", "x2", "a" + "-long" * 7 + "-one"])
def test_what_new_writes_is_clean_whatever_its_name(here: Path, name: str) -> None:
    for kind in USES:
        assert call("new", kind, name, "--folder", kind).exit_code == 0
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--no-cache", "--config", str(REPOSITORY / "pyproject.toml"), str(here)]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *check, *config], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_tests_that_new_writes_pass(here: Path) -> None:
    for kind in USES:
        call("new", kind, f"my-{kind}")
    names = [f"{start}my_{kind}.py" for start in ("", "test_") for kind in USES]
    assert sorted(path.name for path in here.iterdir()) == sorted(names)
    # What another process sees of them is asked in test_test_kinds.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not process", "."]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    properties = re.findall(r"(\d+) passed", done.stdout)
    assert properties and int(properties[0]) > 10 * len(USES), done.stdout


@pytest.mark.parametrize("kind", USES)
def test_a_spec_can_use_what_new_writes(here: Path, kind: str) -> None:
    call("new", kind, "my-own", "--folder", "plugins")
    spec = write_trial(here, Path("plugins/my_own.py"), **USES[kind])
    checked = call("validate", str(spec))
    assert checked.exit_code == 0, checked.output
    without = write_trial(here, Path("trial_dataset.py"), **USES[kind])
    without.write_text(
        without.read_text().replace('"trial_dataset.py", "trial_dataset.py"', '"trial_dataset.py"')
    )
    assert call("validate", str(without)).exit_code != 0


@pytest.mark.parametrize("kind", USES)
def test_nothing_is_overwritten(here: Path, kind: str) -> None:
    (here / "my_own.py").write_text("mine")
    refused = call("new", kind, "my-own")
    assert isinstance(refused.exception, BenchError) and "my_own.py" in str(refused.exception)
    assert [path.name for path in here.iterdir()] == ["my_own.py"]
    assert (here / "my_own.py").read_text() == "mine"


def test_names_that_are_taken_are_refused(here: Path) -> None:
    registry = load_registry()
    taken = {
        "step": "measure",
        "metric": "hd95",
        "runner": "torch",
        "analysis": "summary",
        "executor": "local",
        "dataset": next(name for name in registry.datasets),
    }
    for kind, name in taken.items():
        refused = call("new", kind, name)
        assert isinstance(refused.exception, BenchError) and "is taken" in str(refused.exception), kind
    assert list(here.iterdir()) == []


def test_only_models_are_built_with_something(here: Path) -> None:
    refused = call("new", "step", "my-own", "--runner", "mmseg")
    assert refused.exit_code == 2 and "--runner" in refused.output
    assert list(here.iterdir()) == []
