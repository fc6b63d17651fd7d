"""A whole study under corruptions, one of a plugin's own: killed, resumed, verified, reported, extended."""

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
from bench_core.plan.job import Apply
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.bench import BENCH, call_bench

pytestmark = pytest.mark.slow

PLUGIN = '''
import os
import time
from pathlib import Path

from bench_core import hookimpl
from bench_steps.corruption.declaration import corruption_step
from bench_steps.corruption.declared import Corruption


def dim(image, severity, random, side):
    """Darken; where the environment asks for it, slowly, and leave word."""
    if "MARK" in os.environ:
        Path(os.environ["MARK"]).touch()
        time.sleep(0.3)
    return image // (1 + severity)


@hookimpl
def bench_steps():
    return [corruption_step("probe", [Corruption(name="dim", title="Dim", function=dim)])]
'''

SPEC = """
version: 1
name: whole
plugins: [own.py]
models: {models}
datasets: [{{name: synthetic, label: skin, options: {{samples: 9, size: 32}}}}]
protocol:
  image_size: 32
  batch_size: 4
  precision: fp32
  pretrained: none
  learning_rate: 1e-3
  evaluate: {{folds: 3, epochs: 1}}
steps:
  - {{name: corruption, options: {{kinds: [hair, jpeg], severities: [1, 5]}}}}
  - probe
analyses: [corruption]
"""
ONE = "[{name: u-net, label: small, options: {width: 4}}]"
TWO = "[{name: u-net, label: small, options: {width: 4}}, {name: u-net, label: wide, options: {width: 8}}]"


def write_spec(folder: Path, models: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(PLUGIN)
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(models=models))
    return path


def tables(spec: Path, store: Path) -> dict[str, bytes]:
    """Return the counts of every finished step by the job's name."""
    loaded = load_spec(spec)
    opened = Store(store)
    return {
        job.name: (opened.folder(job.digest) / "records" / "corruption-counts.csv").read_bytes()
        for job in make_plan(loaded.spec, loaded.registry).jobs
        if isinstance(job.work, Apply) and opened.is_done(job.digest)
    }


def sealed(store: Path) -> dict[str, int]:
    return {path.name: (path / "result.json").stat().st_mtime_ns for path in (store / "jobs").iterdir()}


def test_a_study_is_killed_resumed_verified_and_extended(tmp_path: Path) -> None:
    spec, store, mark = write_spec(tmp_path / "study", ONE), tmp_path / "results", tmp_path / "mark"
    command = [*BENCH, "run", str(spec), "--store", str(store)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "MARK": str(mark)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 110
        while not mark.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = sealed(store)
    assert 0 < len(tables(spec, store)) < 6
    assert call_bench("run", spec, "--store", store).returncode == 0
    found = tables(spec, store)
    assert len(found) == 6 and before.items() <= sealed(store).items()

    unbroken = tmp_path / "unbroken"
    assert call_bench("run", spec, "--store", unbroken).returncode == 0
    assert tables(spec, unbroken) == found
    assert sum(text.count(b"\n") - 1 for name, text in found.items() if name.startswith("probe")) == 9 * 4

    done = call_bench("verify", spec, "--store", store, "--data", "--predict", "--json")
    assert done.returncode == 0, done.stdout
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["steps"]["jobs"] == 6 and not any(check["findings"] for check in checks.values())

    assert call_bench("report", spec, "--store", store, "--out", tmp_path / "report").returncode == 0
    with (tmp_path / "report" / "tables" / "corruption-kinds-probe-skin.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["model"] == "small" and "kind-dim_value" in row
    assert "data:image/jpeg" in (tmp_path / "report" / "report.html").read_text()

    before = sealed(store)
    assert call_bench("run", write_spec(tmp_path / "study", TWO), "--store", store).returncode == 0
    after = sealed(store)
    assert before.items() <= after.items() and len(after) == 2 * len(before)
