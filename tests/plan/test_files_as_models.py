"""Models whose name is a file of the user's: found from the spec's folder, told apart by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.spec.load import load_spec

PLUGIN = """
import hashlib
from pathlib import Path

from bench_core import Architecture, ModelSource, hookimpl
from bench_core.errors import UnknownNameError


def resolve(name):
    _, _, rest = name.partition(":")
    content = ""
    if rest.endswith(".net"):
        assert Path(rest).is_absolute(), rest
        if not Path(rest).exists():
            raise UnknownNameError(f"{rest} does not exist")
        content = hashlib.sha256(Path(rest).read_bytes()).hexdigest()
    return Architecture(name=name, family="A", runner="torch", version=1, build="x:y", content=content)


@hookimpl
def bench_model_sources():
    return [ModelSource(prefix="file", runner="torch", help="files", resolve=resolve, file_suffix=".net")]
"""
SPEC = """
version: 1
name: files
plugins: [plugin.py]
models: ["file:{name}"]
datasets: [synthetic]
protocol: {{image_size: 64, learning_rate: 1e-3, pretrained: none, evaluate: {{folds: 3, epochs: 1}}}}
"""


def _first(folder: Path, name: str, text: str = "layers: 3") -> Job:
    (folder / "nets").mkdir(parents=True, exist_ok=True)
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "nets/own.net").write_text(text)
    (folder / "spec.yaml").write_text(SPEC.format(name=name))
    loaded = load_spec(folder / "spec.yaml")
    return make_plan(loaded.spec, loaded.registry).jobs[0]


@pytest.mark.parametrize("name", ["nets/own.net", "./nets/../nets/own.net"])
def test_a_relative_name_starts_at_the_specs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir("/")
    job = _first(tmp_path, name)
    assert job.model.name == f"file:{tmp_path / 'nets/own.net'}"
    assert job.model.content == hashlib.sha256(b"layers: 3").hexdigest()


def test_an_absolute_name_stays(tmp_path: Path) -> None:
    name = str(tmp_path / "nets/own.net")
    assert _first(tmp_path, name).model.name == f"file:{name}"


def test_other_names_of_the_source_are_left_alone(tmp_path: Path) -> None:
    job = _first(tmp_path, "nets/own")
    assert job.model.name == "file:nets/own"
    assert job.model.content == ""


def test_the_content_counts_and_the_place_does_not(tmp_path: Path) -> None:
    here, there = _first(tmp_path / "here", "nets/own.net"), _first(tmp_path / "there", "nets/own.net")
    assert here.model.name != there.model.name
    assert here.digest == there.digest
    assert _first(tmp_path / "here", "nets/own.net", "layers: 4").digest != here.digest
