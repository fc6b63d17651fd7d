"""`pip install segtrial` alone plans specs and reads finished studies: no framework, no image library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.core_env import BENCH, REPOSITORY, core_distributions, make_core_environment, run_in
from tests.helpers.verified_study import STOPPING, Finished


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_core_environment(tmp_path_factory.mktemp("core") / "venv")


def test_core_requirements_are_small() -> None:
    names = set(core_distributions())
    assert "pydantic" in names
    assert not names & {"torch", "torchvision", "timm", "pillow", "opencv-python-headless", "scipy", "jinja2"}


@pytest.mark.parametrize("module", ["torch", "torchvision", "cv2", "PIL", "nibabel", "jinja2", "scipy"])
def test_environment_really_lacks(python: Path, module: str) -> None:
    done = run_in(python, "-c", f"import {module}")
    assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr


def test_validates_the_shipped_specs(python: Path) -> None:
    specs = [str(path) for path in sorted((REPOSITORY / "specs").glob("*.yaml"))]
    done = run_in(python, *BENCH, "validate", *specs)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plans_the_paper(python: Path) -> None:
    done = run_in(python, *BENCH, "plan", str(REPOSITORY / "specs" / "paper.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (len(plan["jobs"]), plan["epochs"]) == (429, 34_650)


def test_lists_and_prints_the_schema(python: Path) -> None:
    models = run_in(python, *BENCH, "list", "models", "--json")
    assert models.returncode == 0, models.stderr
    assert {"u-net", "vw-mit", "segnext"} <= {row["name"] for row in json.loads(models.stdout)}
    schema = run_in(python, *BENCH, "schema")
    assert json.loads(schema.stdout)["$schema"].startswith("https://json-schema.org/")


def test_doctor_names_what_is_missing_and_the_install_line(python: Path) -> None:
    done = run_in(python, *BENCH, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    torch = next(
        item for item in json.loads(done.stdout) if item["name"] == "torch" and item["area"] == "torch"
    )
    assert (
        torch["state"] == "missing" and torch["fix"].startswith("pip install ") and "[torch]" in torch["fix"]
    )


def test_a_run_is_refused_with_the_install_line(python: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "version: 1\nname: tiny\nmodels: [u-net]\ndatasets: [synthetic]\n"
        "protocol: {image_size: 64, learning_rate: 1e-3, pretrained: none, evaluate: {epochs: 1, folds: 3}}\n"
    )
    done = run_in(python, *BENCH, "run", str(spec), "--store", str(tmp_path / "results"))
    assert done.returncode == 2
    assert "pip install" in done.stderr and "[torch]" in done.stderr and "Traceback" not in done.stderr


IN_TURN = """
import json, sys
from importlib.util import find_spec
from bench_core.cli.main import run
assert find_spec("torch") is None and find_spec("jinja2") is not None
for words in json.loads(sys.argv[1]):
    sys.argv = ["bench", *words]
    print(">", words[0], run(), flush=True)
"""


@pytest.mark.slow
def test_finished_studies_are_read_without_any_framework(verified_study: Finished, tmp_path: Path) -> None:
    python = make_core_environment(tmp_path / "venv", "report")
    spec = [str(verified_study.path), "--set", STOPPING, "--store"]
    merged, archive = (str(tmp_path / name) for name in ("merged", "study.zip"))
    trusted = [archive, "--trust-code"]
    commands = [
        ["merge", str(verified_study.store), "--out", merged],
        ["verify", *spec, merged],
        ["export", "--archive", archive, *spec, merged],
        ["verify", *trusted],
        ["report", *trusted, "--out", str(tmp_path / "again")],
        ["compare", "heavy", "dots-net", *trusted],
        ["compare", merged, archive],
        ["show", "evaluate/heavy/dots/fold-1", "--store", archive],
        ["verify", *spec, merged, "--data"],
    ]
    done = run_in(python, "-c", IN_TURN, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    codes = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("> ")]
    assert codes == [[words[0], "0"] for words in commands[:-1]] + [["verify", "2"]], done.stderr
    assert "counting jobs again needs the package" in done.stderr and "pip install" in done.stderr
    assert "Traceback" not in done.stderr
    digests = {line for line in done.stdout.splitlines() if line.startswith("study digest: ")}
    assert len(digests) == 1 and "9 of them equal bit for bit" in done.stdout
    assert (tmp_path / "again" / "report.html").stat().st_size > 10_000
