"""Two runners, each running its half over one store, give the same report as one run of everything."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import write_spec

RUNNER = '''

from bench_core import RunnerDeclaration


def fit_elsewhere(contract, options):
    """A third party's runner: the contract's own order of calls, without anything of its own."""
    import torch

    contract.model.to(options.device)
    contract.prepare(torch.device(options.device))

    def predict(images):
        with contract.autocast():
            return contract.model(images)

    for epoch in contract.epochs():
        for step, batch in enumerate(contract.train_batches(epoch)):
            contract.begin_step(epoch, step)
            loss = contract.loss(predict(batch.images), batch.masks)
            contract.optimize(loss)
            contract.end_step(batch, loss)
        contract.end_epoch(epoch, predict)
    return contract.finish(predict)


@hookimpl
def bench_runners():
    return [RunnerDeclaration(name="elsewhere", fit=fit_elsewhere, help="a runner of somebody else")]
'''
MEASURED = ("seconds", "peak_memory_bytes")
"""Columns that differ between any two runs."""
VARYING = (r"\d+ min \d+ s\b", r"\d+(\.\d+)? s\b", r"\d+(\.\d+)? [MG]B\b", r"\b[0-9a-f]{40}(\+changes)?\b")
"""Times, memory, and the commit of a source tree that is worked on while the tests run."""
EXACT = r' data-v="[^"]*"(?=[^<>]*><span>…</span>)'
"""The full precision of a cell that shows one of these."""


def call(*arguments: object) -> str:
    done = CliRunner().invoke(bench, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def report(folder: Path) -> dict[str, str]:
    """Return a report's files by name, without what differs between any two runs."""
    found = {}
    (study,) = csv.DictReader((folder / "tables/digest.csv").read_text().splitlines())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            # It is over all that the jobs left, times included.
            text = path.read_text().replace(study["digest"], "…")
            if path.suffix == ".csv":
                rows = list(csv.DictReader(text.splitlines()))
                text = repr([{key: row[key] for key in row if key not in MEASURED} for row in rows])
            for pattern in VARYING:
                text = re.sub(pattern, "…", text)
            text = re.sub(EXACT, "", text)
            found[path.relative_to(folder).as_posix()] = text
    return found


@pytest.mark.parametrize("other", ["elsewhere", "mmseg"])
@pytest.mark.slow
def test_two_halves_are_one_study(other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if other == "mmseg" and importlib.util.find_spec("mmengine") is None:
        pytest.skip("needs the extra [mmseg]")
    models = f"[dots-net, {{name: dots-net, label: dots-{other}, runner: {other}}}]"
    spec = write_spec(tmp_path, models=models, epochs=2, search=True)
    with (tmp_path / "plugin.py").open("a") as file:
        file.write(RUNNER)
    reports = {}
    for name, halves in (("whole", [[]]), ("turns", [["--runner", other], ["--runner", "torch"]])):
        (tmp_path / name).mkdir()
        # The store has the same relative name, for a report prints it.
        monkeypatch.chdir(tmp_path / name)
        for half in halves:
            said = call("run", spec, "--device", "cpu", "--workers", "1", *half)
            assert f"{5 if half else 10} done" in said
        call("report", spec, "--out", "report")
        reports[name] = report(tmp_path / name / "report")
        assert "verified" in call("verify", spec)
    assert reports["whole"].keys() == reports["turns"].keys() and len(reports["whole"]) > 20
    for file, text in reports["whole"].items():
        assert reports["turns"][file] == text, file
    assert "The framework changes nothing" in reports["whole"]["report.html"]
    assert_traces_equal(spec, tmp_path / "turns" / "results")


def assert_traces_equal(spec: Path, results: Path) -> None:
    loaded = load_spec(spec)
    store = Store(results)
    traces: dict[tuple[object, ...], set[bytes]] = {}
    for job in make_plan(loaded.spec, loaded.registry).jobs:
        cell = (job.stage, job.fold.index, job.learning_rate)
        traces.setdefault(cell, set()).add((store.folder(job.digest) / "trace.jsonl").read_bytes())
    assert len(traces) == 5 and all(len(found) == 1 for found in traces.values())
