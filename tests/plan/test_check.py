"""What only making a plan shows: told by `validate`, too, in place, and in the same words by all commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.declarations import Step
from bench_core.plan.load import check_spec, load_plan
from bench_core.spec.diagnostics import Diagnostic, SpecError
from bench_core.spec.rules.size import MOST_JOBS, count_jobs
from tests.helpers.spec_files import edited, small_registry, unmarked, write

TINY = "  - tiny\n"
BOXY = "  - {name: boxy, options: {width: 8}}\n"
HEART = "  - heart\n"
SEARCH = "  search: {learning_rate: [1e-4, 5e-5], epochs: 3, folds: [0]}\n"
EVALUATE = "  evaluate: {folds: 5, layout: rotate, epochs: 4}\n"
EXCLUDE = '  - {model: boxy, dataset: heart, because: "too slow"}\n'


def found_by(path: Path) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        check_spec(path, registry=small_registry())
    with pytest.raises(SpecError) as again:
        load_plan(path, registry=small_registry())
    assert again.value.diagnostics == caught.value.diagnostics
    return caught.value.diagnostics


TWINS = {
    "an option at its default": (TINY, TINY + "  - «{name: tiny, label: b, options: {width: 16}}\n"),
    "a deviation to the protocol's value": (
        TINY,
        TINY + "  - «{name: tiny, label: b, deviations: {batch_size: 8, because: as usual}}\n",
    ),
    "a deviation of a section to its value": (
        TINY,
        TINY + "  - «{name: tiny, label: b, deviations: {optimizer: {weight_decay: 1e-2}, because: test}}\n",
    ),
    "another word for the same start": (
        TINY,
        TINY + "  - «{name: tiny, label: b, pretrained: imagenet}\n",
    ),
    "its own runner, named": (TINY, TINY + "  - «{name: tiny, label: b, runner: torch}\n"),
    "a dataset's own list that is the protocol's": (
        HEART,
        HEART + "  - «{name: heart, label: b, augmentation: [RandomHorizontalFlip: {}, "
        "GaussianBlur: {kernel_size: 3}]}\n",
    ),
    "a dataset's own loss that is the usual one": (
        HEART,
        HEART + "  - «{name: heart, label: b, loss: {cross-entropy: 1}}\n",
    ),
    "another root": ("    root: data/skin\n", "    root: data/skin\n  - «{name: skin, label: b, root: x}\n"),
    "a step with its defaults written out": (
        EXCLUDE,
        EXCLUDE + "steps:\n  - maps\n  - «{name: maps, label: b, options: {width: 16}}\n",
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_two_entries_of_the_same_jobs_are_one_mistake_at_the_later(name: str, tmp_path: Path) -> None:
    text, mark = unmarked(edited(TWINS[name]))
    (found,) = found_by(write(tmp_path, text))
    assert (found.check, found.line, found.column) == ("duplicate", *(mark or ()))
    assert "'b' is the same experiment as" in found.message
    assert found.cause and found.fix


def test_twins_that_never_meet_are_none(tmp_path: Path) -> None:
    text = edited(
        (TINY, TINY + "  - {name: tiny, label: b}\n"),
        (
            EXCLUDE,
            EXCLUDE + '  - {model: b, dataset: heart, because: "apart"}\n'
            '  - {model: tiny, dataset: skin, because: "apart"}\n'
            '  - {model: boxy, dataset: skin, because: "apart"}\n',
        ),
    )
    # An exclusion goes by label or name, so `b` would be excluded with `tiny`: give both labels.
    text = text.replace(TINY, "  - {name: tiny, label: a}\n").replace("model: tiny,", "model: a,")
    _, plan = load_plan(write(tmp_path, text), registry=small_registry())
    assert {job.cell for job in plan.jobs} == {("a", "heart"), ("b", "skin")}


def test_twins_on_some_datasets_name_them(tmp_path: Path) -> None:
    text = edited(
        (TINY, TINY + "  - {name: tiny, label: b, deviations: {loss: bce, because: a test}}\n"),
        (HEART, "  - {name: toy, options: {classes: 2}, loss: focal}\n"),
        (EXCLUDE, '  - {model: b, dataset: toy, because: "several classes"}\n'),
    )
    assert "loss" in found_by(write(tmp_path, text))[0].check
    text = edited(
        (TINY, TINY + "  - {name: tiny, label: b, deviations: {loss: focal, because: a test}}\n"),
        (HEART, "  - {name: toy, loss: focal}\n"),
        (EXCLUDE, '  - {model: boxy, dataset: toy, because: "too slow"}\n'),
    )
    (found,) = found_by(write(tmp_path, text))
    assert found.check == "duplicate" and "on toy" in found.message


def test_all_twins_are_told_at_once_and_beside_other_mistakes(tmp_path: Path) -> None:
    text = edited(
        (TINY, TINY + "  - {name: tiny, label: b}\n  - {name: tiny, label: c}\n"),
        (HEART, HEART + "  - {name: heart, label: d}\n"),
        ("image_size: 256", "image_size: 250"),
    )
    found = found_by(write(tmp_path, text))
    assert sorted(item.check for item in found) == ["duplicate"] * 3 + ["image-size"]


def test_a_spec_of_too_many_jobs_is_refused_with_their_number(tmp_path: Path) -> None:
    models = "".join(f"  - {{name: tiny, label: m{index}, options: {{width: 3}}}}\n" for index in range(20))
    rates = ", ".join(f"{index + 1}e-6" for index in range(50))
    text = edited(
        (BOXY, models),
        (SEARCH, f"  search: {{learning_rate: [{rates}], epochs: 3, nested: true}}\n"),
        (EVALUATE, "  evaluate: {folds: 1000, epochs: 4, repeats: 100}\n"),
        ("exclude:\n" + EXCLUDE, ""),
    )
    (found,) = found_by(write(tmp_path, text))
    assert found.check == "jobs"
    assert f"{21 * 2 * (50 * 1000 + 1000 * 100):,} jobs" in found.message
    assert f"{MOST_JOBS:,}" in f"{found.message}{found.cause}"


def test_the_count_is_that_of_the_plan(tmp_path: Path) -> None:
    text = edited((EXCLUDE, EXCLUDE + "steps: [maps, measure]\n"), (TINY, TINY + "  - rule\n"))
    loaded, plan = load_plan(write(tmp_path, text), registry=small_registry())
    assert len(plan.jobs) == 3 * (2 + 5 * 3) + 2 * (5 * 2)
    counted = sum(
        count_jobs(
            loaded.spec.protocol, own=own, fixed=False, steps=(("weights", "job"), ("predictions", "job"))
        )
        for own in (False, False, False, True, True)
    )
    assert counted == len(plan.jobs)


def test_a_step_over_a_cell_has_one_job_on_the_first_fold(tmp_path: Path) -> None:
    registry = small_registry()
    once = Step(name="once", version=1, run="x:y", help="once", needs="weights", over="cell")
    registry = replace(registry, steps={**registry.steps, "once": once})
    text = edited((EXCLUDE, EXCLUDE + "steps: [once]\n"), (TINY, TINY + "  - rule\n"))
    loaded, plan = load_plan(write(tmp_path, text), registry=registry)
    first = {job.cell: job for job in reversed(plan.jobs) if job.stage == "evaluate"}
    found = [job for job in plan.jobs if job.stage == "once"]
    assert len(found) == len({job.cell for job in found}) == 3
    for job in found:
        assert [need.digest for need in job.needs] == [first[job.cell].digest]
        assert (job.fold, job.repeat, job.dataset) == (first[job.cell].fold, 0, first[job.cell].dataset)
    counted = [count_jobs(loaded.spec.protocol, own=own, fixed=False, steps=(("weights", "cell"),))
               for own in (False, False, False, True, True)]  # fmt: skip
    assert sum(counted) == len(plan.jobs)


GOOD = """\
version: 1
name: good
plugins: [plugin.py]
models: [{name: tiny}, {name: tiny, label: again}]
datasets: [skin]
protocol: {image_size: 64, learning_rate: 1e-3, evaluate: {folds: 3, epochs: 2}}
"""
PLUGIN = """\
from bench_core import Architecture, Dataset, Task, hookimpl

@hookimpl
def bench_models():
    return [Architecture(name="tiny", family="A", runner="torch", version=1, pretrained=("imagenet",))]

@hookimpl
def bench_datasets():
    return [Dataset(name="skin", version=1, task=Task(classes=("lesion",), channels=3), needs_root=False)]
"""


def bench_of(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bench, [str(item) for item in arguments])


@pytest.mark.parametrize(
    "command", [["plan"], ["run"], ["status"], ["report", "--out", "out"], ["verify"], ["data", "check"]]
)
def test_every_command_says_what_validate_says(command: list[str], tmp_path: Path) -> None:
    write(tmp_path, PLUGIN, "plugin.py")
    spec = write(tmp_path, GOOD)
    told: Any = json.loads(bench_of("validate", "--format", "json", spec).output)["specs"][0]["diagnostics"]
    assert [(item["line"], item["column"], item["check"]) for item in told] == [(4, 24, "duplicate")]
    done = bench_of(*command, spec)
    assert done.exit_code != 0
    assert isinstance(done.exception, SpecError)
    assert [item.to_json() for item in done.exception.diagnostics] == told


RESOLVES = {
    "raises": "raise RuntimeError('out of order')",
    "raises what is no Exception": "raise SystemExit(3)",
    "gives no mapping": "return [1]",
    "gives an option that is not declared": "return {'colour': 1}",
    "gives what no job can hold": "return {'width': {1, 2}}",
    "gives NaN": "return {'width': float('nan')}",
    "says what is wrong": "raise ValueError('too wide')",
}


@pytest.mark.parametrize("hook", ["resolve", "adapt"])
@pytest.mark.parametrize("way", RESOLVES)
def test_a_step_whose_hook_is_broken_is_named(way: str, hook: str, tmp_path: Path) -> None:
    plugin = f"""
from bench_core import Option, Step, hookimpl

def broken(options, known):
    {RESOLVES[way]}

@hookimpl
def bench_steps():
    width = Option(type=int, default=1, help="columns")
    return [Step(name="odd", version=1, run="x:y", help="odd", options={{"width": width}}, {hook}=broken)]
"""
    write(tmp_path, PLUGIN, "plugin.py")
    write(tmp_path, plugin, "odd.py")
    text = GOOD.replace("[plugin.py]", "[plugin.py, odd.py]").replace(", {name: tiny, label: again}", "")
    spec = write(tmp_path, text + "steps: [odd]\n")
    for command in ("validate", "plan"):
        done = bench_of(command, spec)
        assert done.exit_code == 1
        assert "odd" in (done.output or str(done.exception))
        assert done.exception is None or isinstance(done.exception, (SpecError, SystemExit))
    (found,) = json.loads(bench_of("validate", "--format", "json", spec).output)["specs"][0]["diagnostics"]
    assert (found["line"], found["check"]) == (7, "option" if hook == "resolve" else "step")
    if hook == "resolve":
        assert found["fix"]
    elif way == "says what is wrong":
        assert found["cause"] == "too wide" and "'odd' cannot work on skin" in found["message"]
    else:
        assert "adapt of step 'odd'" in found["message"]
