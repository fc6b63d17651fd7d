"""Somebody else's package, installed: each thing that it declares is used through `bench`, in one study."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands_in_turn import call_in_turn

PACKAGE = Path(__file__).resolve().parents[1] / "example_package"
SPEC = """
version: 1
name: example
models:
  - {name: example-net, options: {width: 4}}
  - {name: example-threshold, options: {levels: 8}}
datasets: [example-squares]
protocol:
  image_size: 32
  channels: native
  pretrained: none
  batch_size: 2
  search: {learning_rate: [1e-2, 1e-3], epochs: 1}
  evaluate: {folds: 4, epochs: 2, only: [0, 1]}
steps:
  - example-flip
  - {name: example-flip, label: upside-down, options: {direction: vertical}}
  - {name: measure, options: {metrics: [example-area]}}
"""
CELL = "example-net/example-squares"
OWN = "example-threshold/example-squares"
CODE = "from bench_core.cli.main import main; main()"
OTHER_LEVELS = ["plan", "spec.yaml", "--set"]
COMMANDS = [
    ["validate", "spec.yaml"],
    ["run", "spec.yaml", "--workers", "1"],
    ["report", "spec.yaml"],
    ["run", "spec.yaml"],
    ["verify", "spec.yaml"],
    ["example-area", "12"],
    ["--help"],
    ["plan", "spec.yaml", "--json"],
    ["status", "spec.yaml", "--json"],
    ["verify", "spec.yaml", "--json"],
    ["show", f"evaluate/{CELL}/fold-0", "--json"],
    ["show", f"evaluate/{OWN}/fold-0", "--json"],
    ["show", f"upside-down/{CELL}/fold-1", "--json"],
    *(
        [*OTHER_LEVELS, f"models.1.options={each}", "--json"]
        for each in ("{}", "{levels: 16}", "{levels: 8}")
    ),
    *(["list", kind, "--json"] for kind in ("plugins", "runners", "steps", "metrics")),
]
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Study:
    """A folder with a spec, how the COMMANDS ended there, and what Python needs to see the package."""

    folder: Path
    ended: dict[tuple[str, ...], Done]
    environment: dict[str, str]

    def python(self, code: str, *arguments: str) -> Done:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def json(self, *arguments: str) -> Any:
        done = self.ended[*arguments, "--json"]
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "reports" / "example" / "tables" / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into a folder, without network."""
    source, target = tmp_path_factory.mktemp("source") / "it", tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))  # builds write beside it
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-index"]
    where = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run([*pip, *where], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def study(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that was validated, run and reported, and asked about."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "spec.yaml").write_text(SPEC)
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH")))),
        "EXAMPLE_PLUGIN_EVENTS": str(folder / "events.jsonl"),
        "OMP_NUM_THREADS": "1",
    }
    ended = {}
    for done in call_in_turn(COMMANDS, cwd=folder, environment=environment):
        out, err = done.stdout.decode(), done.stderr.decode()
        ended[tuple(done.args)] = Done(done.args, done.returncode, out, err)
        assert done.returncode == 0, (done.args, out, err)
    return Study(folder, ended, environment)


def test_every_job_is_planned_run_and_done(study: Study) -> None:
    plan = study.json("plan", "spec.yaml")
    jobs = [job["name"] for job in plan["jobs"]]
    assert [name for name in jobs if name.endswith("fold-0")] == [
        f"evaluate/{CELL}/fold-0",
        f"evaluate/{OWN}/fold-0",
        f"example-flip/{CELL}/fold-0",
        f"upside-down/{CELL}/fold-0",
        f"measure/{CELL}/fold-0",
        f"measure/{OWN}/fold-0",
    ]
    assert not [name for name in jobs if name.startswith("search/example-threshold")]
    status = study.json("status", "spec.yaml")
    assert status["counts"] == {"done": len(jobs)}
    again = study.ended["run", "spec.yaml"]
    assert "0 done now, 14 before" in again.stdout, again.stdout


def test_its_listener_heard_of_every_job(study: Study) -> None:
    events = [json.loads(line) for line in (study.folder / "events.jsonl").read_text().splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds.count("started") == kinds.count("finished") == 14 and "failed" not in kinds
    assert [event["epoch"] for event in events if event["kind"] == "epoch"] == [0, 0, 0, 1, 0, 1]


def test_its_own_runner_chooses_a_level_and_finds_the_squares(study: Study) -> None:
    shown = study.json("show", f"evaluate/{OWN}/fold-0")
    assert shown["job"]["work"]["kind"] == "own" and shown["job"]["work"]["settings"] == {"levels": 8}
    assert shown["result"]["training"] is None and shown["result"]["network"] is None
    assert 0.3 < shown["result"]["values"]["level"] < 0.6  # squares are above 150/255, the ground below 80
    assert shown["metrics"]["all"]["mdsc"] == 1.0
    (row,) = [row for row in study.table("study-mdsc") if row["model"] == "example-threshold"]
    assert (row["example-squares_mean"], row["parameters_min"]) == ("1.0", "")
    page = (study.folder / "reports" / "example" / "report.html").read_text()
    assert "own protocol: not trained by the shared protocol" in page and "levels 8 (default: 16)" in page


def test_its_step_leaves_numbers_records_an_artifact_and_label_maps(study: Study) -> None:
    shown = study.json("show", f"upside-down/{CELL}/fold-1")
    result = shown["result"]
    assert result["artifacts"] == ["records/agreement.csv", "artifacts/maps.npz"]
    assert 0 < result["values"]["agreement"] <= 1
    folder = Path(study.folder, shown["folder"])
    with (folder / "records" / "agreement.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result["data"]["test"] == 2
    assert sum(float(row["share"]) for row in rows) / 2 == pytest.approx(result["values"]["agreement"])
    assert (folder / "artifacts" / "maps.npz").is_file() and "predictions.npz" in result["files"]


def test_the_report_has_what_steps_and_own_runners_left(study: Study) -> None:
    (values,) = study.table("values-example-flip")
    assert (values["model"], values["name"], values["jobs"]) == ("example-net", "agreement", "2")
    assert 0 < float(values["value_mean"]) <= 1
    (files,) = study.table("files-upside-down")
    assert (files["records"], files["artifacts"]) == ("agreement.csv", "maps.npz")
    assert (files["jobs_done"], files["jobs_planned"], files["label_maps"]) == ("2", "2", "2")
    (level,) = study.table("values-evaluate")
    assert (level["model"], level["name"]) == ("example-threshold", "level")
    stages = {row["stage"]: row["jobs"] for row in study.table("effort")}
    assert stages["search"] == stages["example-flip"] == stages["upside-down"] == "2"
    assert stages["evaluate"] == stages["measure"] == "4" and stages["together"] == "14"


def test_the_attribute_of_its_samples_is_kept_and_shown(study: Study) -> None:
    assert study.json("show", f"evaluate/{CELL}/fold-0")["attributes"] == ["half"]
    (data,) = study.table("data")
    assert data["attributes"] == "half"
    rows = open_kept(study.folder / "results" / "datasets")
    assert len(rows["half"]) == 8 and set(rows["half"]) == {"upper", "lower"}


def open_kept(folder: Path) -> dict[str, list[str]]:
    (path,) = folder.iterdir()
    attributes: dict[str, list[str]] = json.loads(path.read_text())["attributes"]
    return attributes


def test_its_metric_of_label_maps_has_a_table_with_every_model(study: Study) -> None:
    scores = {row["model"]: row["example-squares_mean"] for row in study.table("study-example-area")}
    values = {row["model"]: row for row in study.table("values-measure") if row["name"] == "example-area"}
    assert scores["example-threshold"] == values["example-threshold"]["value_mean"] == "1.0"
    assert 0 <= float(values["example-net"]["value_mean"]) <= 1


def test_its_metric_scores_label_maps(study: Study) -> None:
    code = (
        "import numpy as np; from bench_core.plugins.wiring import load_registry; "
        "from bench_core.metrics.declared import of_labels; metric = load_registry().metric('example-area'); "
        "truth = np.zeros((4, 4), np.uint8); truth[:2] = 1; other = np.where(truth[::-1] == 1, 1, 0); "
        "half = truth.copy(); half[0] = 2; none = truth * 0; "
        "print([of_labels(metric, {}, found.astype(np.uint8), truth, 2).tolist() "
        "for found in (other, half, none)])"
    )
    done = study.python(code)
    assert done.stdout == "[[1.0, nan], [0.5, 0.0], [0.0, nan]]\n", done.stderr


def test_verify_says_what_it_leaves_out(study: Study) -> None:
    found = study.json("verify", "spec.yaml")
    assert found["ok"] and found["complete"]
    checks = {check["name"]: (check["jobs"], check["left_out"]) for check in found["checks"]}
    assert checks["files"] == checks["data"] == (14, 0)
    assert all(checks[name] == (4, 10) for name in ("protocol", "order", "schedule", "stopping", "rate"))
    assert checks["images"] == checks["metrics"] == (10, 0)
    printed = study.ended["verify", "spec.yaml"].stdout
    assert (
        "not asked of 10 jobs that do not train under the shared protocol: network, protocol, order"
        in printed
    )


def test_the_settings_of_its_runner_count_where_they_differ(study: Study) -> None:
    def digest(option: str) -> str:
        plan = study.json(*OTHER_LEVELS, f"models.1.options={option}")
        return next(job["digest"] for job in plan["jobs"] if job["name"] == f"evaluate/{OWN}/fold-0")

    assert digest("{}") == digest("{levels: 16}") != digest("{levels: 8}")


def test_it_is_listed(study: Study) -> None:
    assert "example_plugin" in {row["name"] for row in study.json("list", "plugins")}
    runners = {row["name"]: row for row in study.json("list", "runners")}
    assert runners["example-threshold"]["protocol"] == "own" and runners["torch"]["protocol"] == "shared"
    (step,) = [row for row in study.json("list", "steps") if row["name"] == "example-flip"]
    assert (step["needs"], step["state"], step["options"]) == ("weights", "ready", "direction")
    (metric,) = [row for row in study.json("list", "metrics") if row["name"] == "example-area"]
    assert (metric["unit"], metric["from"]) == ("fraction", "labels")


@pytest.mark.slow
def test_each_of_its_plugins_has_the_properties_of_its_kind(study: Study) -> None:
    names = ("example-net", "example-threshold", "example-flip", "example-area", "example-squares")
    done = study.python(CODE, "test", *names, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    kinds = {item["name"]: item["kind"] for item in found}
    assert [kinds[name] for name in names] == ["model", "runner", "step", "metric", "dataset"]
    wrong = [
        (item["name"], each) for item in found for each in item["properties"] if each["state"] == "wrong"
    ]
    assert wrong == [] and all(item["passed"] for item in found)


def test_its_command_is_one_of_bench(study: Study) -> None:
    assert study.ended["example-area", "12"].stdout == "144\n"
    shown = study.ended["--help",].stdout
    assert "example-area" in shown and "Print the area of a square." in shown
