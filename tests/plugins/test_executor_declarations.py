"""What is told of executors: their options, and what keeps one from being used here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench_core.errors import BenchError
from bench_core.execute.fleets import lacking, require
from bench_core.plan.load import load_plan
from bench_core.plugins.wiring import load_registry
from tests.helpers.bench import call_bench
from tests.helpers.small_study import write_spec

PLUGIN = """
from bench_core import ExecutorDeclaration, Option, hookimpl

def broken():
    raise RuntimeError("no answer")

@hookimpl
def bench_executors():
    common = {"start": "nowhere:start", "help": "starts"}
    minutes = Option(type=int, default=60, minimum=1, help="time limit")
    return [
        ExecutorDeclaration(name="ready", options={"minutes": minutes}, lacking=lambda: "", **common),
        ExecutorDeclaration(name="unpacked", requires=("surely_no_package",), **common),
        ExecutorDeclaration(name="extra", requires=("surely_no_package",), install="ray", **common),
        ExecutorDeclaration(name="alone", lacking=lambda: "there is no sbatch on the PATH", **common),
        ExecutorDeclaration(name="broken", lacking=broken, **common),
    ]
"""
SAYS = {
    "ready": "",
    "unpacked": "needs surely_no_package (install the package",
    "extra": "[ray]",
    "alone": "no sbatch",
    "broken": "no answer",
}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize("name", SAYS)
def test_what_keeps_an_executor_from_being_used_is_said(plugin: Path, name: str) -> None:
    executor = load_registry([plugin]).executor(name)
    assert SAYS[name] in lacking(executor)
    if SAYS[name]:
        with pytest.raises(BenchError) as caught:
            require(executor)
        assert caught.value.fix and caught.value.exit_code == 2
    else:
        require(executor)


def test_list_tells_the_options_of_an_executor(plugin: Path) -> None:
    rows = json.loads(call_bench("list", "executors", "--plugin", plugin, "--json").stdout)
    states = {row["name"]: row["state"] for row in rows}
    assert states["local"] == states["ready"] == "ready" and "no sbatch" in states["alone"]
    shown = call_bench("list", "executors", "ready", "--plugin", plugin)
    assert "minutes (int, at least 1; default: 60): time limit" in shown.stdout
    (data,) = json.loads(call_bench("list", "executors", "ready", "--plugin", plugin, "--json").stdout)
    assert data["options"]["minutes"]["default"] == 60 and data["state"] == "ready"


def test_no_digest_counts_where_jobs_run(plugin: Path, tmp_path: Path) -> None:
    path = write_spec(tmp_path / "study")
    usual = [job.digest for job in load_plan(path)[1].jobs]
    path.write_text(
        path.read_text().replace("[plugin.py]", json.dumps(["plugin.py", str(plugin)]))
        + "runtime: {executor: ready, executors: {ready: {minutes: 5}}}\n"
    )
    loaded, plan = load_plan(path)
    assert loaded.spec.runtime.executors == {"ready": {"minutes": 5}}
    assert [job.digest for job in plan.jobs] == usual
