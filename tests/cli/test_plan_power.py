"""`bench plan --power`: assumed and measured spreads, what is said of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench_core.analysis.inference.compare import Settings, judge
from bench_core.analysis.inference.detection import spread_of
from bench_core.analysis.inference.field import field_of
from bench_core.analysis.quantities import quantity
from bench_core.analysis.scores import board
from bench_core.cli.main import bench
from tests.helpers.fake_study import Study, write_study
from tests.report.test_comparisons import counts_of, of_moles


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"), of_moles, counts_of=counts_of())


def call(study: Study, *words: str) -> Result:
    return CliRunner().invoke(bench, ["plan", str(study.loaded.path), *words])


def rows(study: Study, *words: str) -> dict[str, dict[str, Any]]:
    done = call(study, *words, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return {row["dataset"]: row for row in json.loads(done.stdout)["datasets"]}


def test_an_assumed_spread_is_said_to_be_assumed(study: Study) -> None:
    done = call(study, "--power", "--images", "moles=1996/499", "--images", "polyps=945")
    assert done.exit_code == 0
    said = done.output
    assert (
        "moles: 3 models, 3 pairs\n  spread assumed: Dice of images with a standard deviation of 15" in said
    )
    assert "(1,996 images in 499 groups)" in said and "(945 images, each taken as a group of its own" in said
    assert "the number of images is not known: --images hearts=IMAGES/GROUPS tells it" in said
    found = rows(study, "--power", "--images", "moles=1996/499", "--images", "polyps=945")
    assert found["moles"]["spread"] == "assumed" and found["hearts"]["detectable"] is None
    # 2.39 and 0.84 standard errors: alpha / 3, two-sided, and 80 % power.
    assert found["polyps"]["detectable"] == pytest.approx(3.236 * 0.15 * 0.6**0.5 / 945**0.5, rel=3e-3)
    assert found["moles"]["images_needed"] == pytest.approx(4 * found["moles"]["groups_needed"], abs=4)


def test_what_is_assumed_can_be_chosen(study: Study) -> None:
    size = ("--images", "moles=400/100")
    usual = rows(study, "--power", *size)["moles"]["detectable"]
    assert rows(study, "--power", *size, "--spread", "30")["moles"]["detectable"] == pytest.approx(2 * usual)
    assert rows(study, "--power", *size, "--correlation", "0.9")["moles"]["detectable"] < usual
    assert rows(study, "--power", *size, "--within", "0")["moles"]["detectable"] < usual
    wide = rows(study, "--power", *size, "--margin", "2")["moles"]
    assert wide["groups_needed"] < rows(study, "--power", *size)["moles"]["groups_needed"]


def test_a_finished_store_gives_the_spread_of_its_report(study: Study) -> None:
    found = rows(study, "--power-from", str(study.store.path))
    assert {name: row["spread"] for name, row in found.items()} == {
        "moles": "measured",
        "polyps": "assumed",
        "hearts": "assumed",
    }
    evidence = study.evidence()
    field = field_of(evidence, board(evidence, quantity(evidence, "mdsc")), "moles")
    assert field is not None
    judged = judge(field, "pooled", Settings(samples=200))
    assert judged is not None
    middle = sorted(spread_of(pair) for pair in judged.pairs.values())[1]
    row = found["moles"]
    assert row["spread_of_groups"] == pytest.approx(middle, rel=1e-12)
    assert (row["images"], row["groups"], row["pairs"]) == (200, 100, 3)
    assert row["repeats_needed"] is not None or row["folds_needed"] is not None
    said = call(study, "--power-from", str(study.store.path)).output
    assert "3 models, 200 images in 100 groups" in said


def test_a_part_of_the_folds_tests_a_part_of_the_images(study: Study, tmp_path: Path) -> None:
    part = write_study(tmp_path, lambda job: of_moles(job) and job.fold.index < 2, counts_of=counts_of())
    # Two folds of five are measured, the plan tests all.
    row = rows(part, "--power-from", str(part.store.path))["moles"]
    assert (row["images"], row["groups"]) == (200, 100)


def test_a_damaged_result_is_left_out_and_told(tmp_path: Path) -> None:
    study = write_study(tmp_path, of_moles, counts_of=counts_of())
    job = next(job for job in study.plan.jobs if of_moles(job) and job.model.name == "ring")
    (study.store.folder(job.digest) / "result.json").write_text("{")
    done = call(study, "--power-from", str(study.store.path))
    assert done.exit_code == 0 and "1 results of" in done.stderr
    assert "2 models, 200 images in 100 groups" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--power", "--images", "mole=3"), 1, "did you mean 'moles'?"),
        (("--power", "--images", "moles"), 2, "is not DATASET=IMAGES[/GROUPS]"),
        (("--power", "--images", "moles=3/9"), 2, "at least one image in each group"),
        (("--power", "--images", "moles=0"), 2, "at least one image in each group"),
        (("--power", "--images", "moles=9999999999"), 2, "is not DATASET=IMAGES[/GROUPS]"),
        (("--power", "--diff", "other.yaml"), 2, "one at a time"),
        (("--power", "--correlation", "1"), 2, "--correlation"),
        (("--power", "--set", "models=[broad]"), 2, "no two models"),
    ],
)
def test_what_cannot_be_told_is_refused(study: Study, words: tuple[str, ...], code: int, said: str) -> None:
    done = call(study, *words)
    exit_code = getattr(done.exception, "exit_code", done.exit_code)
    assert exit_code == code and said in f"{done.output} {done.exception}"


def test_a_store_without_pairs_says_so(study: Study, tmp_path: Path) -> None:
    done = call(study, "--power-from", str(tmp_path / "none"))
    assert "no spread to measure" in str(done.exception)
