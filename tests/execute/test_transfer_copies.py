"""Networks of the study's datasets on others, from spec to report and killed on the way, on small copies."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.bench import BENCH, call_bench

SPEC = """
version: 1
name: elsewhere
models: [{name: u-net, options: {width: 8}}]
datasets:
  - {name: isic2018, root: DATA/isic2018, options: {allow_missing: true}}
  - {name: neopolyp, root: DATA/neopolyp, options: {allow_missing: true}}
  - {name: camus, root: DATA/camus, options: {allow_missing: true}}
protocol:
  image_size: 64
  pretrained: none
  batch_size: 4
  learning_rate: 0.001
  evaluate: {folds: 3, epochs: 1, only: [0, 1]}
steps:
  - {name: transfer, label: skin, dataset: {name: ph2, root: DATA/ph2, options: {allow_missing: true}}}
  - name: transfer
    label: gut
    dataset: {name: kvasir-seg, root: DATA/kvasir-seg, options: {allow_missing: true}}
    of: [neopolyp]
    options: {map: {neoplastic: polyp, non-neoplastic: polyp}}
seed: 7
"""
STEPS = {"skin": ("isic2018", "ph2"), "gut": ("neopolyp", "kvasir-seg")}


@pytest.mark.slow
def test_killed_on_the_way_it_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    for name in ("isic2018", "neopolyp", "camus", "ph2", "kvasir-seg"):
        assert call_bench("data", "fake", name, "--samples", "18", "--out", tmp_path).returncode == 0
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("DATA", str(tmp_path)))
    loaded = load_spec(spec)
    plan = make_plan(loaded.spec, loaded.registry)
    jobs = {job.name: job for job in plan.jobs}
    assert sorted(name for name in jobs if name.split("/")[0] in STEPS) == sorted(
        f"{step}/u-net/{source}/fold-{fold}" for step, (source, _) in STEPS.items() for fold in (0, 1)
    )
    assert {item.dataset for item in plan.passed_over} == {"neopolyp", "camus"}

    def run(store: Path, until: int | None = None) -> None:
        """Run all jobs; with `until` kill the run and its workers once so many results of steps are there."""
        command = [*BENCH, "run", str(spec), "--store", str(store), "--workers", "1"]
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
            while until is not None and process.poll() is None:
                time.sleep(0.02)
                done = sum(
                    (store / "jobs" / jobs[name].digest).exists() for name in jobs if name[:4] != "eval"
                )
                if done >= until:
                    os.killpg(process.pid, signal.SIGKILL)
                    return
            assert process.wait() == 0

    run(tmp_path / "whole")
    run(tmp_path / "killed", until=1)
    whole, killed = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    assert any(not killed.is_done(job.digest) for job in plan.jobs)
    run(tmp_path / "killed")
    for job in plan.jobs:
        one, other = whole.result(job.digest), killed.result(job.digest)
        assert one.values == other.values and one.files == other.files, job.name
    # Adding a step trains nothing, and what is done stays.
    again = call_bench("run", spec, "--store", killed.path, "--json")
    assert again.returncode == 0 and '"event": "started"' not in again.stdout
    out = tmp_path / "report"
    assert call_bench("report", spec, "--store", killed.path, "--out", out).returncode == 0
    for step, (source, target) in STEPS.items():
        with (out / "tables" / f"transfer-{step}-{source}.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["model"], row["there_folds"], row["there_planned"]) == ("u-net", "2", "2"), target
    found = call_bench("verify", spec, "--store", killed.path, "--data", "--predict", "--json")
    assert not any(check["findings"] for check in json.loads(found.stdout)["checks"]), found.stdout
