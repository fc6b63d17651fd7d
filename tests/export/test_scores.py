"""All scores in one table: what it says is what the metrics say of the stored counts."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.errors import BenchError, MissingDependencyError
from bench_core.plugins.registry import UnknownNameError
from bench_core.records import Counts
from tests.helpers.fake_study import Study, fake_counts, write_study

HOSTILE = "=1+1"


def counts(job) -> Counts:
    """Return counts whose first image has a name that a spreadsheet would compute."""
    found = fake_counts(job)
    return Counts((f"{HOSTILE}{job.fold.index}", *found.ids[1:]), found.groups, found.classes, found.values)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    keep = lambda job: job.stage == "evaluate" and job.fold.index < 2  # noqa: E731
    return write_study(folder, keep=keep, counts_of=counts, models="[broad, ring]")


def export(study: Study, *words: str) -> Result:
    arguments = ["export", "scores", str(study.loaded.path), "--store", str(study.store.path), *words]
    return CliRunner().invoke(bench, arguments, catch_exceptions=True)


def oracle(study: Study) -> dict[tuple[str, ...], float | None]:
    """Return Dice and IoU of each image, by class and over classes, by loops over whole numbers."""
    found: dict[tuple[str, ...], float | None] = {}
    for job in study.plan.jobs:
        if not study.store.is_done(job.digest):
            continue
        table = counts(job)
        for image, rows in zip(table.ids, table.values.tolist(), strict=True):
            for metric in ("mdsc", "miou"):
                scores = []
                for name, (hit, extra, missed) in zip(table.classes, rows, strict=True):
                    top = 2 * hit if metric == "mdsc" else hit
                    score = top / (top + extra + missed) if hit + extra + missed else None
                    scores.append(score)
                    found[(*job.cell, str(job.fold.index), image, name, metric)] = score
                known = [score for score in scores if score is not None]
                mean = sum(known) / len(known) if known else None
                found[(*job.cell, str(job.fold.index), image, "", metric)] = mean
    return found


def test_csv_and_parquet_hold_every_score(study: Study, tmp_path: Path) -> None:
    chosen = ("--metric", "mdsc", "--metric", "miou")
    done = export(study, "--out", str(tmp_path / "csv"), "--json", *chosen)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["jobs"] == 12
    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv" / "scores.csv").read_text())))
    expected = oracle(study)
    assert len(rows) == len(expected) and {row["unit"] for row in rows} == {"fraction"}
    for row in rows:
        image = row["image"].removeprefix("'")
        assert row["image"] == (f"'{image}" if image.startswith("=") else image)
        names = (row["model"], row["dataset"], row["fold"], image, row["class"], row["metric"])
        score = expected[names]
        assert row["value"] == "" if score is None else float(row["value"]) == pytest.approx(score, abs=1e-12)
    done = export(study, "--out", str(tmp_path / "parquet"), "--format", "parquet", *chosen)
    assert done.exit_code == 0, done.output
    table = pyarrow.parquet.read_table(tmp_path / "parquet" / "scores.parquet")
    assert [str(field.type) for field in table.schema][:5] == ["string"] * 3 + ["int32"] * 2
    read = table.to_pylist()
    assert len(read) == len(rows) and any(item["image"].startswith("=") for item in read)
    for item, row in zip(read, rows, strict=True):
        assert item["value"] == (float(row["value"]) if row["value"] else None)
        assert (item["model"], item["class"] or "") == (row["model"], row["class"])


def test_models_datasets_and_metrics_are_chosen_and_unknown_ones_named(study: Study, tmp_path: Path) -> None:
    done = export(study, "--out", str(tmp_path / "a"), "--model", "ring", "--dataset", "hearts")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a" / "scores.csv").read_text())))
    assert {(row["model"], row["dataset"]) for row in rows} == {("ring", "hearts")}
    assert {row["metric"] for row in rows} == {"mdsc", "miou", "mrecall", "mprecision"}
    for words in (("--model", "rink"), ("--dataset", "heart"), ("--metric", "mdcs")):
        assert isinstance(export(study, "--out", str(tmp_path / "b"), *words).exception, UnknownNameError)
    assert isinstance(export(study, "--out", str(tmp_path / "a")).exception, BenchError)
    assert not (tmp_path / "b").exists()


def test_parquet_without_its_package_says_what_to_install(study: Study, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = export(study, "--out", str(tmp_path / "p"), "--format", "parquet").exception
    assert isinstance(error, MissingDependencyError) and "parquet" in (error.fix or "")
    assert not (tmp_path / "p").exists()
    assert export(study, "--out", str(tmp_path / "c")).exit_code == 0


def test_what_has_options_of_its_own_comes_first() -> None:
    done = CliRunner().invoke(bench, ["export", "--json", "scores", "spec.yaml"])
    assert done.exit_code == 2 and "scores comes first" in done.output
    assert "scores.parquet" in CliRunner().invoke(bench, ["export", "scores", "--help"]).output
