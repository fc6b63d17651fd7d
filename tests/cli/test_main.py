"""The command itself: help, exit codes, errors without tracebacks, pipes and colors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench_core import __version__
from bench_core.cli.main import COMMANDS
from tests.helpers.bench import BENCH, QUICK_TORCH, run_bench
from tests.helpers.bench import call_bench as bench

PAPER = str(Path(__file__).resolve().parents[2] / "specs" / "paper.yaml")


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = bench("--help")
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert "130" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = bench(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: bench")


def test_what_every_command_loads_is_light() -> None:
    heavy = ("pydantic", "yaml", "rich", "bench_core.plan.job", "bench_core.store.store")
    code = (
        "import sys\nimport bench_core.cli.main\nfrom bench_core.plugins.wiring import load_registry\n"
        f"load_registry()\nprint([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_version() -> None:
    assert __version__ in run_bench("--version").stdout


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["plan"], ["--nonsense"], ["plan", "x.yaml", "--nonsense"]]
)
def test_wrong_words_exit_with_2_and_no_traceback(arguments: list[str]) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "Error" in done.stderr


@pytest.mark.parametrize("command", ["validate", "plan", "run", "status", "report"])
def test_a_missing_spec_is_one_clear_error(command: str, tmp_path: Path) -> None:
    done = bench(command, str(tmp_path / "gone.yaml"))
    assert done.returncode == 2, done.stdout
    assert "gone.yaml" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    process = subprocess.Popen([*BENCH, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()


@pytest.mark.parametrize("arguments", [["plan", PAPER], ["doctor"]], ids=["plan", "doctor"])
def test_a_reader_of_a_table_that_goes_away_is_no_error(arguments: list[str]) -> None:
    environment = {**os.environ, **QUICK_TORCH}
    with subprocess.Popen(
        [*BENCH, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        errors = running.stderr.read()
        assert (running.wait(timeout=60), errors) == (0, b"")


def test_a_reader_that_has_seen_enough_of_a_long_output_is_no_error() -> None:
    """A plan as JSON is written row by row: the reader goes away while more is to come."""
    with subprocess.Popen(
        [*BENCH, "plan", PAPER, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline() == b"{\n"
        running.stdout.close()
        errors = running.stderr.read()
        assert (running.wait(timeout=60), errors) == (0, b"")


@pytest.mark.parametrize(
    ("start", "arguments"),
    [(run_bench, ["list", "models"]), (bench, ["plan", PAPER]), (bench, ["doctor"])],
    ids=["list", "plan", "doctor"],
)
def test_piped_output_has_no_escape_codes(
    start: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str]
) -> None:
    plain = start(*arguments, **QUICK_TORCH).stdout
    forced = start(*arguments, NO_COLOR="1", FORCE_COLOR="1", **QUICK_TORCH).stdout
    assert plain and "\x1b[" not in plain
    assert forced and "\x1b[3" not in forced


@pytest.mark.parametrize("what", ["models", "datasets", "runners", "executors", "analyses", "plugins"])
def test_list_prints_text_and_json(what: str) -> None:
    rows = json.loads(bench("list", what, "--json").stdout)
    assert rows and all(row["name"] for row in rows)
    text = bench("list", what).stdout
    assert all(row["name"] in text for row in rows)


def test_list_says_what_is_ready_and_why_something_cannot_run_yet() -> None:
    models = {row["name"]: row for row in json.loads(bench("list", "models", "--json").stdout)}
    assert models["u-net"]["state"] == models["vw-mit"]["state"] == "ready"
    datasets = {row["name"]: row for row in json.loads(bench("list", "datasets", "--json").stdout)}
    assert datasets["synthetic"]["state"] == "ready"
    assert {datasets[name]["state"] for name in ("isic2018", "neopolyp", "camus")} == {"ready"}


def test_list_the_names_of_a_source() -> None:
    names = [row["name"] for row in json.loads(bench("list", "models", "--source", "smp", "--json").stdout)]
    assert any(name.startswith("smp:unet/") for name in names)
    wrong = bench("list", "models", "--source", "spm")
    assert wrong.returncode == 1 and "'smp'" in wrong.stderr


def test_list_tells_all_that_is_declared_of_models_by_name() -> None:
    umamba, net = json.loads(bench("list", "models", "swin-umamba", "u-net", "--json").stdout)
    assert (umamba["name"], umamba["year"], umamba["small"]) == ("swin-umamba", 2024, {"variant": "pico"})
    assert umamba["image_sizes"] == {"multiple": 32, "minimum": 64}
    assert umamba["parameters"]["3"] == 59_887_068 and len(umamba["departures"]) == 2
    assert umamba["dead_parameters"] == ["heads.1.", "heads.2.", "heads.3."]
    assert net["deviations"]["pretrained"]["value"] == "none"
    assert net["options"]["width"]["default"] == 64 and net["weights"] == [["vgg13_bn-abd245e5.pth"]]
    text = " ".join(bench("list", "models", "swin-umamba", "u-net").stdout.split())
    for data in (umamba, net):
        said = [
            data["paper"],
            data["license"],
            *data["quirks"],
            *(item["here"] for item in data["departures"]),
        ]
        said += [option["help"] for option in data["options"].values()]
        assert all(words in text for words in said)
    assert "multiples of 32, from 64 pixels on" in text
    assert "width (int, at least 1; default: 64)" in text


def test_list_refuses_names_of_other_things_and_unknown_ones() -> None:
    assert "did you mean 'u-net'" in bench("list", "models", "u-nett").stderr
    refused = bench("list", "runners", "torch")
    assert refused.returncode == 2 and "names are of models and executors" in refused.stderr
    assert bench("list", "executors", "--source", "smp").returncode == 2
    assert "unknown executor 'locall'" in bench("list", "executors", "locall").stderr
    assert bench("list", "models", "u-net", "--source", "smp").returncode == 2


def test_doctor_reports_this_environment_and_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_bench("doctor", "--store", str(tmp_path / "file" / "results"), "--json")
    findings = {(item["area"], item["name"]): item for item in json.loads(done.stdout)}
    assert findings["system", "segtrial"]["detail"] == __version__
    assert findings["torch", "torch"]["state"] == "ok"
    assert findings["devices", "cpu"]["state"] == "ok"
    assert findings["runners", "torch"]["state"] == "ok"
    assert findings["executors", "local"]["state"] == "ok"
    (store,) = (item for item in findings.values() if item["name"].startswith("store "))
    assert done.returncode == 1
    assert store["state"] == "broken" and "--store" in store["fix"]


def test_variables_of_the_old_name_are_told_in_one_line_with_the_new_name() -> None:
    done = run_bench("schema", SEGBENCH_STORE="results", SEGBENCH_CACHE="cache")
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "segtrial spec"
    assert done.stderr.splitlines() == [
        "note: SEGBENCH_CACHE, SEGBENCH_STORE are not read any more; "
        "the names are now SEGTRIAL_CACHE, SEGTRIAL_STORE"
    ]
