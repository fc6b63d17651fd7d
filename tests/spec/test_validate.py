from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from tests.helpers.spec_files import write

REPOSITORY = Path(__file__).resolve().parents[2]
MAIN = "from bench_core.cli.main import main"
GOOD = """\
version: 1
name: good
plugins: [plugin.py]
models: [tiny]
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


@pytest.fixture
def good(tmp_path: Path) -> Path:
    write(tmp_path, PLUGIN, "plugin.py")
    return write(tmp_path, GOOD, "good.yaml")


@pytest.fixture
def bad(good: Path) -> Path:
    return write(good.parent, GOOD.replace("image_size: 64", "imagesize: 64, batch_size: two"), "bad.yaml")


def validate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bench, ["validate", *map(str, arguments)])


def test_a_valid_spec_exits_0_with_a_summary(good: Path) -> None:
    result = validate(good)
    assert result.exit_code == 0
    assert result.output == f"{good}: valid: 1 model x 1 dataset; 3 folds of 2 epochs\n"


def test_text_is_what_compilers_print(bad: Path) -> None:
    result = validate(bad)
    assert result.exit_code == 1
    assert f"{bad}:6:12: error: unknown key 'imagesize' in protocol\n" in result.output
    assert "    6 | protocol: {imagesize: 64, batch_size: two" in result.output
    assert "\n      |            ^\n" in result.output
    assert "  fix: did you mean 'image_size'?\n" in result.output
    assert f"{bad}: not valid: 2 errors\n" in result.output
    assert "\x1b" not in result.output


def test_several_specs_exit_with_the_worst(good: Path, bad: Path) -> None:
    assert validate(good, bad).exit_code == 1
    both = validate(good, good.parent / "goood.yaml", bad)
    assert both.exit_code == 2
    assert "no such file" in both.output and "good.yaml?" in both.output
    assert f"{good}: valid" in both.output and f"{bad}: not valid" in both.output
    assert validate(good.parent).exit_code == 2
    assert validate().exit_code == 2


def test_overrides_are_quoted_in_text(good: Path) -> None:
    result = validate(good, "--set", "seed=1", "--set", "protocol.image_size=big")
    assert result.exit_code == 1
    assert "--set:2:21: error:" in result.output
    assert "    2 | protocol.image_size=big\n      |                     ^" in result.output


def test_json_is_for_programs(good: Path, bad: Path) -> None:
    result = validate(good, bad, good.parent / "none.yaml", "--format", "json")
    assert result.exit_code == 2
    first, second, third = json.loads(result.output)["specs"]
    assert (first["valid"], first["name"], first["diagnostics"]) == (True, "good", [])
    assert second["valid"] is False
    assert {"path", "line", "column", "message", "cause", "fix", "severity", "check"} == set(
        second["diagnostics"][0]
    )
    assert [item["check"] for item in second["diagnostics"]] == ["unknown-key", "type"]
    assert "no such file" in third["failure"]


def test_github_gets_escaped_annotations(bad: Path) -> None:
    strange = write(bad.parent, "name: '100% \\, a::b,c'\nversion: 3\n", "a,b.yaml")
    result = validate(strange, bad.parent / "none.yaml", "--format", "github")
    assert result.exit_code == 2
    lines = [line for line in result.output.splitlines() if line.startswith("::")]
    place = str(strange).replace(",", "%2C")
    (name,) = [line for line in lines if "100%25" in line]
    assert name.startswith(f"::error file={place},line=1,col=7::") and "%0Afix: " in name
    assert lines[-1].startswith(f"::error file={bad.parent / 'none.yaml'},line=1,col=1::no such file")


def test_github_annotations_of_overrides_name_no_file(good: Path) -> None:
    result = validate(good, "--set", "seeed=1", "--format", "github")
    assert result.output.startswith("::error::unknown key 'seeed'")


def test_warnings_are_printed_and_exit_0(good: Path) -> None:
    result = validate(good, "--set", "models.0={name: tiny, weights: no.pt}")
    assert result.exit_code == 0
    assert "warning: there is no file no.pt" in result.output and "valid" in result.output


def test_broken_plugin_and_its_line(good: Path) -> None:
    write(good.parent, "import nothing_of_this_name\n", "plugin.py")
    result = validate(good)
    assert result.exit_code == 1
    assert "good.yaml:3:11: error: plugin.py: plugin failed to import" in result.output
    assert f"{good.parent / 'plugin.py'}:1" in result.output


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
@pytest.mark.parametrize("no_color", [False, True])
def test_colors_are_for_terminals(no_color: bool, bad: Path) -> None:
    import pty

    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    if no_color:
        environment["NO_COLOR"] = "1"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", f"{MAIN}; main()", "validate", str(bad)], stdout=theirs, env=environment
    ) as process:
        process.wait(60)
    printed = os.read(ours, 65536)
    os.close(theirs)
    os.close(ours)
    assert b"unknown key" in printed
    assert (b"\x1b[31m" in printed) is not no_color


def test_no_framework_and_nothing_heavy_is_imported(good: Path) -> None:
    heavy = ["torch", "torchvision", "jinja2", "PIL", "cv2", "nibabel", "rich", "scipy", "pandas"]
    code = (
        "import sys\nfrom bench_core.cli.main import bench\n"
        f"sys.argv = ['bench', 'validate', {str(good)!r}]\n"
        "bench.main(standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_pre_commit_hook_runs_the_command() -> None:
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "bench validate"
    assert {"id", "name", "language", "files"} <= hook.keys()
