"""The study's spec on small copies of its three datasets: readers, folds, both runners, report, verify."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.helpers.bench import call_bench

SPECS = Path(__file__).resolve().parents[2] / "specs"
SMALL = (
    "protocol.image_size=64",
    "protocol.pretrained=none",
    "protocol.precision=fp32",
    "protocol.evaluate.epochs=1",
    "protocol.evaluate.folds=3",
    "runtime.threads=1",
)
PAPER = (
    "models=[{name: u-net, options: {width: 8}}, {name: segformer, runner: mmseg, options: {variant: b0}}]",
    "protocol.search={epochs: 1, learning_rate: [1e-3, 1e-4]}",
    *(f"datasets.{number}.options.allow_missing=true" for number in range(3)),
    *("pools={}", "expected=[]", "claims=[]"),
)
LEAK = (
    "models=[{name: u-net, options: {width: 8}}]",
    *(f"datasets.{number}.options.allow_missing=true" for number in range(2)),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("isic2018", "neopolyp", "camus"):
        done = call_bench("data", "fake", name, "--samples", "24", "--out", folder)
        assert done.returncode == 0, done.stderr
    return folder


def called(data: Path, *words: str | Path, settings: tuple[str, ...]) -> str:
    given = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    done = call_bench(*words, *given, SEGTRIAL_DATA=str(data))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_paper_runs_from_the_first_job_to_a_verified_report(data: Path, tmp_path: Path) -> None:
    spec, store = SPECS / "paper.yaml", tmp_path / "store"
    text = called(data, "run", spec, "--store", store, settings=PAPER)
    assert "48 done" in text
    for remark in (
        "holds 16 of 2,594 published images",
        "not used: 4 images in test/, published without masks",
        "undecidable colors: ",
        "holds 6 of 500 published patients",
    ):
        assert text.count(remark) == 1, text
    called(data, "report", spec, "--store", store, "--out", tmp_path / "report", settings=PAPER)
    with (tmp_path / "report/tables/data.csv").open(newline="") as file:
        rows = {row["dataset"]: row["sizes"] for row in csv.DictReader(file)}
    assert rows.keys() == {"isic2018", "neopolyp", "camus"} and "groups 6" in rows["camus"]
    # The paper's rule leaves out the planted copies.
    kept = {"isic2018": 23, "neopolyp": 22, "camus": 24}
    assert all(f"samples {kept[name]}," in sizes for name, sizes in rows.items())
    page = (tmp_path / "report/report.html").read_text()
    assert "CAMUS: options" in page and "allow_missing True (default: False)" in page
    text = called(data, "verify", spec, "--store", store, "--data", "--json", settings=PAPER)
    # What is said of the data goes to stderr and stands behind it.
    said, _ = json.JSONDecoder().raw_decode(text)
    checks = {check["name"]: check for check in said["checks"]}
    assert checks["recount"]["jobs"] == 48
    assert not any(check["findings"] for check in checks.values())


@pytest.mark.slow
def test_the_leak_of_sessions_is_compared_on_the_same_images(data: Path, tmp_path: Path) -> None:
    spec, store = SPECS / "session-leak.yaml", tmp_path / "store"
    called(data, "run", spec, "--store", store, settings=LEAK)
    called(data, "report", spec, "--store", store, "--out", tmp_path / "report", settings=LEAK)
    with (tmp_path / "report/tables/data.csv").open(newline="") as file:
        rows = {row["dataset"]: row["sizes"] for row in csv.DictReader(file)}
    groups = {name: int(sizes.partition("groups ")[2].partition(",")[0]) for name, sizes in rows.items()}
    assert groups["by-session"] < groups["by-image"] <= 24
    page = (tmp_path / "report/report.html").read_text()
    assert "groups session (default: none)" in page
