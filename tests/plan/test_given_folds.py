"""A dataset's own folds in a plan: their content is identity, a fixed split is one job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench_core.plan.errors import PlanError
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Job, JobFold
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec

SPEC = """\
version: 1
name: study
models: [{{name: u-net, options: {{width: 2}}}}]
datasets:
  - {{name: synthetic, label: own{own}}}
  - {{name: synthetic, label: dealt, options: {{seed: 1}}}}
protocol:
  image_size: 16
  pretrained: none
  {rate}
  evaluate: {{epochs: 1, {evaluate}}}
"""
RATE = "learning_rate: 1e-3"
SEARCH = "search: {{learning_rate: [1e-3, 1e-4], epochs: 1{more}}}"
THREE = "id,fold\n" + "".join(f"s{number},{number % 3}\n" for number in range(9))
FIXED = json.dumps({"train": ["a", "b"], "validation": ["c"], "test": ["d"]})
PAIR = json.dumps({"train": ["a", "b"], "val": ["c"]})


def plan(
    base: Path, folds: str | None, evaluate: str = "folds: 3", rate: str = RATE, name: str = "folds.csv"
) -> Plan:
    if folds is not None:
        (base / name).write_text(folds)
    own = "" if folds is None else f", folds: {name}"
    (base / "spec.yaml").write_text(SPEC.format(own=own, rate=rate, evaluate=evaluate))
    loaded = load_spec(base / "spec.yaml")
    return make_plan(loaded.spec, loaded.registry)


def on(made: Plan, label: str, stage: str = "evaluate") -> list[Job]:
    return [job for job in made.jobs if job.dataset.label == label and job.stage == stage]


def test_own_folds_are_part_of_identity_and_their_place_is_not(tmp_path: Path) -> None:
    without = plan(tmp_path, None)
    own = plan(tmp_path, THREE)
    assert {job.digest for job in on(own, "own")}.isdisjoint(job.digest for job in on(without, "own"))
    assert [job.digest for job in on(own, "dealt")] == [job.digest for job in on(without, "dealt")]
    again = plan(tmp_path, THREE.replace(",", ";") + "\n", name="other.csv")
    assert [job.digest for job in again.jobs] == [job.digest for job in own.jobs]
    changed = plan(tmp_path, THREE.replace("s0,0", "s0,1"))
    assert {job.digest for job in on(changed, "own")}.isdisjoint(job.digest for job in own.jobs)
    assert on(own, "own")[0].dataset.folds == str(tmp_path / "folds.csv")
    assert on(own, "dealt")[0].dataset.folds_content == ""


@pytest.mark.parametrize("layout", ["rotate", "holdout"])
def test_own_folds_take_the_study_s_layout(tmp_path: Path, layout: str) -> None:
    made = plan(tmp_path, THREE, f"folds: 3, layout: {layout}")
    assert [job.fold for job in on(made, "own")] == [job.fold for job in on(made, "dealt")]


def test_a_fixed_split_is_one_job_beside_cross_validation(tmp_path: Path) -> None:
    made = plan(tmp_path, FIXED, "folds: 5", SEARCH.format(more=", folds: [1, 2]"))
    (job,) = on(made, "own")
    assert job.fold == JobFold(0, 3, "fixed", (0,), (1,), (2,))
    assert len(on(made, "dealt")) == 5
    searches = on(made, "own", "search")
    assert {search.fold for search in searches} == {JobFold(0, 3, "fixed", (0,), (1,), ())}
    assert len(searches) == 2 and {need.digest for need in job.needs} == {item.digest for item in searches}
    nested = plan(tmp_path, FIXED, "folds: 5", SEARCH.format(more=", nested: true"))
    assert len(on(nested, "own")[0].needs) == 2


def test_a_split_without_test_images_tests_what_it_validates_on_if_that_is_the_layout(tmp_path: Path) -> None:
    made = plan(tmp_path, PAIR, "folds: 3, layout: holdout")
    assert on(made, "own")[0].fold == JobFold(0, 2, "fixed", (0,), (1,), (1,))


def test_jobs_keep_their_folds_on_disk(tmp_path: Path) -> None:
    job = on(plan(tmp_path, THREE), "own")[0]
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


WRONG: dict[str, tuple[str, str, str, str]] = {
    "another number": (THREE, "folds: 5", RATE, "the file holds 3 folds, protocol.evaluate.folds is 5"),
    "no test images": (PAIR, "folds: 3", RATE, "the fixed split has no test images"),
    "reshuffle": (THREE, "folds: 3, repeats: 2, reshuffle: true", RATE, "deals new folds"),
    "not a file of folds": ("nothing", "folds: 3", RATE, "expected an id and a fold"),
}


@pytest.mark.parametrize(("folds", "evaluate", "rate", "message"), WRONG.values(), ids=WRONG)
def test_folds_that_do_not_fit_are_told_by_validate(
    tmp_path: Path, folds: str, evaluate: str, rate: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, folds, evaluate, rate)
    (found,) = caught.value.diagnostics
    assert message in found.message and found.line == 5


@pytest.mark.parametrize(
    ("folds", "evaluate", "more", "message"),
    [
        (PAIR, "folds: 3, layout: holdout", ", nested: true", "on the images that are tested"),
        (FIXED, "folds: 3, only: [1]", "", "a fixed split is fold 0"),
    ],
)
def test_folds_that_leave_no_job_are_told_by_validate_and_by_the_plan(
    tmp_path: Path, folds: str, evaluate: str, more: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan(tmp_path, folds, evaluate, SEARCH.format(more=more))
    (found,) = caught.value.diagnostics
    assert message in found.message and found.line == 5


def test_the_plan_keeps_the_same_rules_where_nothing_was_validated(tmp_path: Path) -> None:
    plan(tmp_path, PAIR, "folds: 3, layout: holdout", SEARCH.format(more=""))
    loaded = load_spec(tmp_path / "spec.yaml")
    protocol = loaded.spec.protocol
    assert protocol.search is not None
    nested = protocol.search.model_copy(update={"nested": True})
    other = protocol.evaluate.model_copy(update={"only": [1]})
    for changes, message in (
        ({"search": nested}, "on the images that are tested"),
        ({"evaluate": other}, "a fixed split is fold 0"),
    ):
        spec = loaded.spec.model_copy(update={"protocol": protocol.model_copy(update=changes)})
        with pytest.raises(PlanError, match=message) as caught:
            make_plan(spec, loaded.registry)
        assert caught.value.place == "datasets.0.folds"


def test_a_missing_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.format(own=", folds: gone.csv", rate=RATE, evaluate="folds: 3"))
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert str(tmp_path / "gone.csv") in caught.value.diagnostics[0].message


def test_repeats_keep_the_users_folds(tmp_path: Path) -> None:
    jobs = on(plan(tmp_path, THREE, "folds: 3, repeats: 2"), "own")
    assert len(jobs) == 6 and {job.fold.deal for job in jobs} == {0}
    assert len({job.digest for job in jobs}) == 6
