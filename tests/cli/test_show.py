"""`bench show` prints every metric of a job, those of steps on it included, with unit and direction."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.plan.job import Job
from bench_core.store.store import Store
from tests.helpers.step_study import run_all, write_boxes

STEPS = "[{name: measure, options: {metrics: [hd95, nsd], tolerance: 1}}, {name: native, label: large}]"
COUNTED = ("mdsc", "miou", "mrecall", "mprecision")


class Study:
    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "results", create=True)
        _, jobs = run_all(write_boxes(folder / "spec", STEPS, spacing="all"), self.store)
        self.jobs = {(job.stage, job.fold.index): job for job in jobs}

    def text(self, job: Job, *more: str) -> str:
        done = CliRunner().invoke(bench, ["show", job.digest, "--store", str(self.store.path), *more])
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, job: Job) -> Any:
        return json.loads(self.text(job, "--json"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


def line_of(text: str, name: str) -> str:
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
    return line


def test_every_metric_has_its_unit_and_direction(study: Study) -> None:
    job = study.jobs["evaluate", 0]
    text, data = study.text(job), study.json(job)["metrics"]
    names = [*COUNTED, "hd95", "nsd", *(f"{name}-large" for name in COUNTED)]
    assert list(data["all"]) == sorted(names)
    for name in names:
        line = line_of(text, name)
        unit = "mm" if name == "hd95" else "percent"
        assert f"{unit}, {'lower' if name == 'hd95' else 'higher'} is better" in line
        assert (data["units"][name], data["better"][name]) == (
            "mm" if name == "hd95" else "fraction",
            "lower" if name == "hd95" else "higher",
        )
        value = data["all"][name]
        shown = f"{value:.2f}" if name == "hd95" else f"{100 * value:.2f}"
        assert f"all classes {shown}" in line
        assert "dark " in line and "bright " in line


def test_the_share_of_training_that_images_were_waited_for_is_shown(study: Study) -> None:
    job = study.jobs["evaluate", 0]
    shown, data = line_of(study.text(job), "waited_for_images"), study.json(job)
    history = data["result"]["training"]["history"]
    waited, trained = (sum(item[key] for item in history) for key in ("waited_seconds", "train_seconds"))
    assert data["waited_for_images"] == {"share": pytest.approx(waited / trained), "advice": None}
    assert 0 < waited < trained and f"{waited / trained:.0%} of the training time" in shown
    # A job on a CPU makes its images itself unless its spec says otherwise.
    assert data["result"]["provenance"]["loader_workers"] == 0


def test_the_numbers_of_steps_equal_a_recount(study: Study) -> None:
    data = study.json(study.jobs["evaluate", 1])["metrics"]
    images: dict[str, list[float]] = {}
    for row in study.store.records(study.jobs["measure", 1].digest, "scores"):
        if row["metric"] == "hd95" and not math.isnan(float(row["score"])):
            images.setdefault(row["image"], []).append(float(row["score"]))
    means = [sum(found) / len(found) for found in images.values()]
    assert data["all"]["hd95"] == pytest.approx(sum(means) / len(means))
    sums = [0, 0, 0]
    for row in study.store.records(study.jobs["large", 1].digest, "native-counts"):
        sums = [total + int(row[key]) for total, key in zip(sums, ("tp", "fp", "fn"), strict=True)]
    hit, wrong, missed = sums
    assert data["all"]["mdsc-large"] == pytest.approx(2 * hit / (2 * hit + wrong + missed))


def test_the_job_of_a_step_has_its_own_metrics(study: Study) -> None:
    measured = study.json(study.jobs["measure", 0])["metrics"]
    assert sorted(measured["all"]) == ["hd95", "nsd"]
    assert measured["all"]["hd95"] == study.json(study.jobs["evaluate", 0])["metrics"]["all"]["hd95"]
    assert "hd95" in study.text(study.jobs["measure", 0])


def test_steps_on_a_job_are_named(study: Study) -> None:
    data = study.json(study.jobs["evaluate", 0])
    assert {item["label"]: item["digest"] for item in data["steps"]} == {
        "measure": study.jobs["measure", 0].digest,
        "large": study.jobs["large", 0].digest,
    }
    assert study.jobs["measure", 0].digest[:12] in study.text(study.jobs["evaluate", 0])


def test_a_damaged_table_of_a_step_is_said_and_hides_nothing_else(study: Study) -> None:
    job, step = study.jobs["evaluate", 2], study.jobs["measure", 2]
    path = study.store.folder(step.digest) / "records" / "scores.csv"
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[: len(whole) // 2])
    try:
        text, data = study.text(job), study.json(job)
    finally:
        path.write_bytes(whole)
    assert set(data["metrics"]["all"]) == {*COUNTED, *(f"{name}-large" for name in COUNTED)}
    (damaged,) = [item for item in data["steps"] if item["label"] == "measure"]
    assert "damaged" in damaged["problem"] and "damaged" in text
