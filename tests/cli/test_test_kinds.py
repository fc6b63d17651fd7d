"""`bench test` asks every kind of plugin that `bench new` writes, and says where and why one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.errors import BenchError
from tests.helpers import broken_datasets, broken_metrics
from tests.helpers.broken_datasets import write_cases

DATASETS, METRICS = broken_datasets.__file__, broken_metrics.__file__
TRIED = ("dataset", "metric", "step", "analysis", "runner", "executor")
LONG = ("analysis", "runner", "executor")
"""Models are tried in test_new_and_test."""
TWO_KINDS = """
from bench_core import Dataset, Metric, Task, hookimpl

@hookimpl
def bench_datasets():
    task = Task(classes=("one",), channels=1)
    return [Dataset(name="both", version=1, task=task, open="nowhere:Reader", needs_root=False)]

@hookimpl
def bench_metrics():
    return [Metric(name="both", title="", version=1, needs="counts", compute="nowhere:score", definition="",
                   empty="")]
"""


STOPPING = """
import sys
from bench_core import Metric, hookimpl

def score(prediction, truth, classes, spacing, ignore):
    {stops}

@hookimpl
def bench_metrics():
    return [Metric(name="stopping", title="S", version=1, needs="labels", compute=score, definition="D.",
                   empty="undefined")]
"""


def call(*arguments: str) -> Result:
    return CliRunner().invoke(bench, list(arguments))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in LONG else ()) for kind in TRIED]
)
def test_what_new_writes_passes_everything(here: Path, kind: str) -> None:
    call("new", kind, "my-own")
    found = call("test", "my-own", "--plugin", "my_own.py", "--json")
    result = json.loads(found.stdout)
    wrong = [item for item in result["properties"] if item["state"] == "wrong"]
    assert (found.exit_code, wrong, result["passed"]) == (0, [], True)
    assert (result["kind"], result["name"]) == (kind, "my-own")
    assert len(result["properties"]) > 10
    assert any(item["state"] == "ok" for item in result["properties"])


def test_a_dataset_of_files_is_tried_at_its_root(here: Path) -> None:
    write_cases(here / "cases")
    arguments = ["test", "right", "--kind", "dataset", "--plugin", DATASETS]
    assert call(*arguments, "--root", "cases").exit_code == 0
    for root, says in (((), "--root FOLDER"), (("--root", "nowhere"), "does not exist")):
        refused = call(*arguments, *root).exception
        assert isinstance(refused, BenchError) and refused.exit_code == 2 and says in str(refused)


def test_a_fault_is_told_with_place_cause_and_fix(here: Path) -> None:
    write_cases(here / "cases")
    found = call("test", "draws-noise", "--plugin", DATASETS, "--root", "cases")
    assert found.exit_code == 1
    line = next(line for line in found.stdout.splitlines() if line.endswith(": reading repeats itself"))
    place, number = line.removesuffix(": reading repeats itself").rsplit(":", 1)
    assert Path(place) == Path(DATASETS)
    assert Path(place).read_text().splitlines()[int(number) - 1] == "class DrawsNoise(Right):"
    assert "  why: read again, 'case-5' has other pixels" in found.stdout
    assert "  fix: seed by the sample" in found.stdout
    data = json.loads(call("test", "draws-noise", "--plugin", DATASETS, "--root", "cases", "--json").stdout)
    (wrong,) = [item for item in data["properties"] if item["property"] == "reading repeats itself"]
    assert wrong["place"] == f"{place}:{number}" and wrong["state"] == "wrong" and wrong["fix"]


@pytest.mark.parametrize(
    ("stops", "why", "fix"),
    [
        ("sys.exit(4)", "it ends the program: SystemExit: 4", "raise an error"),
        ("import no_such_package", "No module named 'no_such_package'", "install no_such_package"),
        ("return prediction[truth.shape]", "IndexError", "correct what stops them here"),
    ],
)
def test_code_that_stops_everything_is_told_once(here: Path, stops: str, why: str, fix: str) -> None:
    (here / "stopping.py").write_text(STOPPING.format(stops=stops))
    found = call("test", "stopping", "--plugin", "stopping.py")
    assert found.exit_code == 1 and not isinstance(found.exception, KeyboardInterrupt)
    told = found.stdout.split("stopping.py:6: ")[1:]
    assert len(told) == 1 and "more properties\n" in told[0]
    assert why in told[0] and f"  fix: {fix}" in told[0]


def test_what_does_not_come_to_an_end_is_named_when_it_is_stopped(here: Path) -> None:
    (here / "stopping.py").write_text(STOPPING.format(stops="raise KeyboardInterrupt"))
    found = call("test", "stopping", "--plugin", "stopping.py")
    assert "stopped while 'one score per class, of its unit' of metric stopping was tried" in found.stderr
    assert "one score per class" not in found.stdout


@pytest.mark.parametrize("arguments", [[], ["--plugin", "nothing.py"]])
def test_a_plugin_that_is_not_loaded_is_told_for_what_it_is(here: Path, arguments: list[str]) -> None:
    (here / "nothing.py").write_text("")
    refused = call("test", "my-own", *arguments).exception
    assert isinstance(refused, BenchError) and refused.exit_code == 2
    assert "no plugin declares 'my-own'" in str(refused) and "--plugin FILE" in str(refused.fix)


def test_a_folder_is_no_plugin_file(here: Path) -> None:
    refused = call("test", "my-own", "--plugin", ".").exception
    assert isinstance(refused, BenchError) and "is a folder" in str(refused)


def test_all_of_a_kind_are_tried(here: Path) -> None:
    data = json.loads(call("test", "all", "--kind", "metric", "--json").stdout)
    assert {"mdsc", "hd95", "nsd"} <= {item["name"] for item in data}
    assert all(item["passed"] for item in data)


def test_options_change_what_is_tried(here: Path) -> None:
    data = json.loads(call("test", "nsd", "--options", '{"tolerance": 0}', "--json").stdout)
    assert data["passed"] and data["options"] == {"tolerance": 0}
    refused = call("test", "nsd", "--options", '{"tolerance": -1}').exception
    assert isinstance(refused, BenchError) and refused.exit_code == 2 and "at least 0" in str(refused)


def test_several_kinds_are_tried_together(here: Path) -> None:
    call("new", "dataset", "my-own")
    found = call("test", "mdsc", "my-own", "--plugin", "my_own.py")
    assert found.exit_code == 0
    assert "metric mdsc" in found.stdout and "dataset my-own" in found.stdout


def test_a_name_of_two_kinds_asks_which(here: Path) -> None:
    (here / "two.py").write_text(TWO_KINDS)
    refused = call("test", "both", "--plugin", "two.py").exception
    assert isinstance(refused, BenchError) and refused.exit_code == 2
    assert "is a dataset and a metric" in str(refused) and "--kind dataset" in str(refused.fix)
    found = call("test", "both", "--plugin", "two.py", "--kind", "metric", "--json")
    assert found.exit_code == 1 and json.loads(found.stdout)["kind"] == "metric"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mdsc", "--small"], "architecture's"),
        (["mdsc", "--root", "."], "folder of a dataset"),
        (["mdsc", "nsd", "--options", "{}"], "of one plugin"),
        (["mdsc", "--model", "u-net"], "for runner:NAME"),
        (["mdsc", "runner:mmseg"], "tried alone"),
    ],
)
def test_words_that_do_not_go_together_are_refused(here: Path, arguments: list[str], said: str) -> None:
    refused = call("test", *arguments)
    assert refused.exit_code == 2 and said in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("syntetic", "'synthetic'"),
        ("mesure", "'measure'"),
        ("u-nt", "'u-net'"),
        ("resnet18", "timm:resnet18"),
    ],
)
def test_a_name_of_no_kind_gets_the_nearest(here: Path, name: str, fix: str) -> None:
    refused = call("test", name).exception
    assert isinstance(refused, BenchError) and refused.exit_code == 2 and fix in str(refused.fix)
