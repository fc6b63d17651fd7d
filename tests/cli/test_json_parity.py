"""What a command warns people of, its --json says to programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench_core.analysis.baselines import constant_counts
from bench_core.cli.main import bench
from bench_core.cli.summary import summarize
from bench_core.execute.progress import RunProgress
from bench_core.plan.job import Job
from bench_core.records import Counts
from bench_core.store.store import Store
from tests.execute.test_fresh import Place
from tests.helpers.fake_study import Study, fake_counts, write_study
from tests.helpers.step_study import write_boxes

ODD = "evaluate/ring/moles/fold-1"
SIGN = "it predicts background alone on all 40 test images"


def painted(job: Job) -> Counts:
    counts = fake_counts(job)
    return replace(counts, values=constant_counts(counts.values, 96**2, 0)) if job.name == ODD else counts


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return write_study(
        folder, lambda job: job.dataset.name == "moles" and job.stage == "evaluate", counts_of=painted
    )


def call(study: Study, command: str, *more: str) -> Any:
    arguments = [command, str(study.loaded.path), "--store", str(study.store.path), *more]
    return CliRunner().invoke(bench, arguments)


def test_status_names_a_network_that_did_not_learn(study: Study) -> None:
    text = " ".join(call(study, "status").stdout.split())
    assert f"warning: {ODD}: {SIGN}" in text
    (warning,) = json.loads(call(study, "status", "--json").stdout)["warnings"]
    assert warning == {"message": SIGN, "jobs": [ODD]}


def test_the_summary_of_a_run_has_signs_and_scores(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [job for job in study.plan.jobs if study.store.is_done(job.digest)]
    run = RunProgress(jobs)
    for progress in run.jobs.values():
        progress.status, progress.ran_here = "done", True
        progress.tested = {"mdsc": 0.25, "miou": 0.125}
    for as_json in (False, True):
        summarize(run, study.loaded.path, study.store.path, [], as_json=as_json)
    *text, last = capsys.readouterr().out.splitlines()
    assert f"warning: {ODD}: {SIGN}" in text
    data = json.loads(last)
    assert data["warnings"] == [{"message": SIGN, "jobs": [ODD]}]
    assert len(data["scores"]) == 3
    score = next(item for item in data["scores"] if item["model"] == "ring")
    assert (score["dataset"], score["stage"], score["jobs"]) == ("moles", "evaluate", 5)
    assert score["means"] == {"mdsc": 0.25, "miou": 0.125}
    assert data["done_now"] == len(jobs)


@pytest.mark.slow
def test_a_run_tells_programs_what_is_stale(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run_all()
    place.plugin.write_text(place.plugin.read_text() + "# edited\n")
    done = place.call("run", "--json", "--device", "cpu", "--only", "fold=0")
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    stale = [event for event in events if event["event"] == "stale"]
    assert [event["job"] for event in stale] == ["evaluate/dots-net/mine/fold-0"]
    assert stale[0]["changes"][0]["what"] == "plugin plugin"


@pytest.mark.slow
def test_a_run_tells_programs_what_is_odd_about_the_data(tmp_path: Path) -> None:
    # One box of the twelve has no spacing.
    spec = write_boxes(tmp_path / "spec", "[]", spacing="some")
    arguments = ["run", str(spec), "--store", str(tmp_path / "store"), "--device", "cpu", "--only", "fold=0"]
    done = CliRunner().invoke(bench, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    shown = [line for line in done.stderr.splitlines() if line.startswith("warning: dataset ")]
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [event for event in events if event["event"] == "warning"]
    assert [f"warning: dataset {event['dataset']}: {event['message']}" for event in told] == shown
    assert any("say their spacing" in event["message"] for event in told)


def test_what_could_not_be_compared_is_in_the_json_of_verify_and_report(study: Study, tmp_path: Path) -> None:
    for command, *more in (("verify",), ("report", "--out", str(tmp_path / "out")), ("status",)):
        notes = [
            line.removeprefix("note: ")
            for line in call(study, command, *more).stderr.splitlines()
            if line.startswith("note: ")
        ]
        assert notes, f"{command} compares the data of this study with nothing"
        assert json.loads(call(study, command, *more, "--json").stdout)["not_compared"] == notes


def test_accept_says_what_it_accepted(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run_all()
    place.plugin.write_text(place.plugin.read_text() + "# edited\n")
    data = json.loads(place.call("accept", "--because", "a comment", "--json").stdout)
    names = [job.name for job in place.load()[1].jobs]
    assert [(item["change"].split(" changed")[0], item["jobs"]) for item in data["changes"]] == [
        ("plugin plugin", names)
    ]


def test_a_plan_has_departures_and_stale_results(study: Study) -> None:
    data = json.loads(call(study, "plan", "--json").stdout)
    assert all("departures" in model for model in data["models"])


def test_show_names_others_of_the_name(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run_all()
    store = Store(place.store)
    _, plan = place.load()
    name = plan.jobs[0].name
    arguments = ["show", name, "--store", str(store.path), "--json"]
    assert json.loads(CliRunner().invoke(bench, arguments).stdout)["others"] == []
