"""`bench plan` as people and programs use it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.common import print_json_rows
from bench_core.cli.plan import command
from bench_core.plan.expand import make_plan
from bench_core.plan.summary import plan_json
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "specs" / "paper.yaml"

SPEC = """\
version: 1
name: tiny
models:
  - {name: u-net, options: {width: 4}}
  - {name: u-net, label: u-net-8, options: {width: 8}}
datasets:
  - {name: isic2018, root: data}
  - {name: camus, root: data}
protocol:
  image_size: 64
  precision: fp16
  search: {learning_rate: [1e-3, 1e-4], epochs: 2}
  evaluate: {folds: 3, epochs: 4}
exclude:
  - {model: u-net-8, dataset: camus, because: too slow to matter}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    return path


def plan(*arguments: object, width: int = 160) -> Result:
    return CliRunner(env={"COLUMNS": str(width)}).invoke(command, [str(item) for item in arguments])


def data_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def test_people_see_stages_grid_exclusions_and_deviations(spec: Path) -> None:
    result = plan(spec)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "tiny: 15 jobs, at most 48 epochs"
    assert "search 6 2 12 0 0.001, 0.0001" in lines
    assert "evaluate 9 4 36 0-2 the best of the search" in lines
    assert "jobs isic2018 camus all" in lines
    assert "u-net 5 5 10" in lines
    assert "u-net-8 5 excluded 5" in lines
    assert "u-net-8 on camus: too slow to matter" in lines
    assert any(line.startswith("u-net: pretrained none instead of imagenet (") for line in lines)


def test_a_dataset_without_a_reader_is_marked_and_explained(spec: Path) -> None:
    (spec.parent / "later.py").write_text(
        "from bench_core import Dataset, Task, hookimpl\n"
        "@hookimpl\n"
        "def bench_datasets():\n"
        "    task = Task(classes=('polyp',), channels=3)\n"
        "    return [Dataset(name='gut', version=1, task=task, license='mine', how_to_get='ask',\n"
        "                    unavailable='its reader follows')]\n"
    )
    spec.write_text(SPEC.replace("name: camus", "name: gut").split("exclude:")[0] + "plugins: [later.py]\n")
    lines = [" ".join(line.split()) for line in plan(spec).stdout.splitlines()]
    assert "jobs isic2018 gut † all" in lines
    assert any("gut: its reader follows" in line for line in lines)


def test_people_see_what_each_stage_trains_validates_and_tests_on(spec: Path) -> None:
    lines = plan(spec).stdout.splitlines()
    assert "search: trains on 1 of 3 folds, validates on 1" in lines
    assert "evaluate: trains on 1 of 3 folds, validates on 1, tests on 1" in lines


@pytest.mark.parametrize("width", [20, 40, 60])
def test_narrow_screens_lose_nothing(spec: Path, width: int) -> None:
    shown = " ".join(plan(spec, width=width).stdout.split())
    for words in ("0.001, 0.0001", "u-net-8", "isic2018", "camus", "the best of the search", "excluded"):
        assert words in shown
    assert "…" not in shown


def test_rates_that_differ_do_not_read_the_same(spec: Path) -> None:
    rates = "protocol.search.learning_rate=[1e-3, 0.0010000001]"
    assert "0.0010000001, 0.001" in " ".join(plan(spec, "--set", rates).stdout.split())


def test_programs_get_every_job_with_its_settings(spec: Path) -> None:
    data = data_of(plan(spec, "--json"))
    loaded = load_spec(spec)
    jobs = make_plan(loaded.spec, loaded.registry).jobs
    assert [(row["digest"], row["name"]) for row in data["jobs"]] == [(job.digest, job.name) for job in jobs]
    for row, job in zip(data["jobs"], jobs, strict=True):
        settings = data["settings"][row["settings"]]
        assert settings["training"] == job.training.model_dump(mode="json")
        assert settings["pixels"] == job.pixels.model_dump(mode="json")
        assert row["needs"] == [{"digest": need.digest, "role": need.role} for need in job.needs]
        assert "state" not in row
    assert data["epochs"] == 48
    assert data["excluded"] == [{"model": "u-net-8", "dataset": "camus", "because": "too slow to matter"}]
    assert {item["model"] for item in data["deviations"]} == {"u-net", "u-net-8"}


def test_json_is_equal_byte_for_byte_in_every_process(tmp_path: Path) -> None:
    outputs = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        code = "from bench_core.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "plan", str(PAPER), "--json"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    data = json.loads(outputs[0])
    assert len(data["jobs"]) == 429
    assert data["epochs"] == 34_650


def test_json_is_laid_out_as_json_lays_it_out(spec: Path) -> None:
    for overrides in ((), ("--set", "exclude=[{model: u-net-8, because: no one}]")):
        text = plan(spec, "--json", *overrides).stdout
        assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_large_plan_is_printed_row_by_row(spec: Path) -> None:
    """A plan of 300 folds is 1 MB of text for each model; only a row of it is held at a time."""
    text = SPEC.replace("  search: {learning_rate: [1e-3, 1e-4], epochs: 2}\n", "  learning_rate: 1e-3\n")
    spec.write_text(text.replace("folds: 3", "folds: 300"))
    loaded = load_spec(spec)
    planned = make_plan(loaded.spec, loaded.registry)
    printed = io.StringIO()
    longest = 0

    class Counting(io.StringIO):
        def write(self, part: str) -> int:
            nonlocal longest
            longest = max(longest, len(part))
            return printed.write(part)

    with contextlib.redirect_stdout(Counting()):
        print_json_rows(plan_json(planned), "jobs")
    assert len(json.loads(printed.getvalue())["jobs"]) == len(planned.jobs) == 900
    assert longest < 10_000 < 1_000_000 < len(printed.getvalue())


def test_json_holds_no_path_of_this_machine(spec: Path, tmp_path: Path) -> None:
    assert str(tmp_path) not in plan(spec, "--json").stdout


def test_a_large_plan_is_shortened_for_people(tmp_path: Path) -> None:
    models = "\n".join(
        f"  - {{name: u-net, label: m{width}, options: {{width: {width}}}}}" for width in range(1, 101)
    )
    roots = "\n".join(
        f"  - {{name: camus, root: data, label: d{index}, "
        f"augmentation: [GaussianBlur: {{kernel_size: {index}}}]}}"
        for index in range(1, 40, 2)
    )
    exclusions = "\n".join(f"  - {{model: m{width}, dataset: d1, because: dull}}" for width in range(1, 101))
    path = tmp_path / "large.yaml"
    path.write_text(
        f"version: 1\nname: large\nmodels:\n{models}\ndatasets:\n{roots}\nexclude:\n{exclusions}\n"
        "protocol:\n  learning_rate: 1e-3\n  evaluate: {folds: 5, epochs: 1}\n"
    )
    result = plan(path)
    assert result.stdout.startswith("large: 9,500 jobs, at most 9,500 epochs")
    assert "... and 40 more models" in result.stdout
    assert "... and 80 more" in result.stdout
    assert len(result.stdout.splitlines()) < 150


def test_overrides_change_the_plan_and_diff_says_how(spec: Path) -> None:
    result = plan(spec, "--set", "protocol.batch_size=4", "--diff", spec)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{spec} with --set and {spec}: 0 jobs shared")
    assert "training.batch_size: 4 here, 8 there (all cells)" in result.stdout
    data = data_of(plan(spec, "--set", "protocol.evaluate.epochs=5", "--diff", spec, "--json"))
    assert (data["shared"], data["only_left"], data["only_right"]) == (6, 9, 9)
    assert data["cells"][0]["changes"] == [{"field": "training.epochs", "left": 5, "right": 4}]


def test_a_plan_equals_itself(spec: Path) -> None:
    result = plan(spec, "--diff", spec)
    assert f"{spec} and {spec}: 15 jobs shared" in result.stdout
    assert "why" not in result.stdout


def test_an_invalid_spec_is_refused_whole(spec: Path) -> None:
    spec.write_text(SPEC.replace("u-net, options", "u-nett, options"))
    result = plan(spec)
    assert isinstance(result.exception, SpecError)
    assert result.exception.exit_code == 1
    assert "did you mean" in str(result.exception)


def test_the_store_says_what_is_done_failed_stale_and_to_do(spec: Path, tmp_path: Path) -> None:
    store = tmp_path / "results"
    assert "store" not in data_of(plan(spec, "--store", store, "--json"))
    loaded = load_spec(spec)
    jobs = make_plan(loaded.spec, loaded.registry).jobs
    old_spec = load_spec(spec, ("protocol.batch_size=2",))
    old = make_plan(old_spec.spec, old_spec.registry).jobs[0]
    for part in ("jobs", "running", "claims", "failed"):
        (store / part).mkdir(parents=True)
    (store / "store.json").write_text('{"format": 2}')
    for job in (*jobs[:4], old):
        folder = store / "jobs" / job.digest
        folder.mkdir()
        (folder / "job.json").write_text(json.dumps(job.to_json()))
    (store / "failed" / jobs[5].digest).mkdir()
    (store / "failed" / jobs[5].digest / "failure.json").write_text("{}")

    data = data_of(plan(spec, "--store", store, "--json"))
    assert data["store"] == {"states": {"done": 4, "failed": 1, "todo": 10}, "stale": [old.digest]}
    states = {row["digest"]: row["state"] for row in data["jobs"]}
    assert states[jobs[0].digest] == "done"
    assert states[jobs[5].digest] == "failed"
    assert states[jobs[6].digest] == "todo"

    text = plan(spec, "--store", store).stdout
    assert "4 done, 0 running, 1 failed, 10 to do" in " ".join(text.split())
    assert "1 stale" in text
    assert any(line.split()[:2] == ["u-net", "2/5"] for line in text.splitlines())
