from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from bench_core.spec.diagnostics import SpecError, UnreadableSpecError
from bench_core.spec.load import load_spec
from bench_core.spec.model import Spec
from bench_core.spec.nodes import Loc
from bench_core.spec.sections import homes, keys_at, sections_at
from tests.helpers.spec_files import VALID, edited, findings, small_registry, write

PLUGIN = """\
from bench_core import Architecture, hookimpl

@hookimpl
def bench_models():
    return [Architecture(name="{name}", family="Mine", runner="torch", version=1)]
"""


def load(path: Path) -> Spec:
    return load_spec(path, registry=small_registry()).spec


def test_the_whole_of_a_spec_is_read(tmp_path: Path) -> None:
    loaded = load_spec(write(tmp_path, VALID), registry=small_registry())
    assert loaded.base == tmp_path.resolve()
    assert loaded.warnings == ()
    spec = loaded.spec
    assert [entry.name for entry in spec.models] == ["tiny", "boxy"]
    assert spec.models[1].options == {"width": 8}
    assert spec.protocol.search is not None
    assert spec.protocol.search.learning_rate == [1e-4, 5e-5]
    assert spec.protocol.augmentation == ["RandomHorizontalFlip", {"GaussianBlur": {"kernel_size": 3}}]
    assert spec.exclude[0].because == "too slow"
    assert spec.seed == 42


def test_words_that_yaml_once_took_for_booleans_stay_words(tmp_path: Path) -> None:
    registry = small_registry()
    text = edited(
        ("image_size: 256", "image_size: 256\n  early_stopping: off\n  gradient_clipping: off"),
        ("{name: boxy,", "{name: boxy, label: no,"),
        ("model: boxy", "model: no"),
    )
    spec = load_spec(write(tmp_path, text), registry=registry).spec
    assert spec.protocol.early_stopping == "off"
    assert spec.models[1].label == "no"


def test_integers_are_good_enough_for_numbers(tmp_path: Path) -> None:
    spec = load(write(tmp_path, edited(("{mean: 0.5, std: 0.5}", "{mean: [0, 1, 0.5], std: 1}"))))
    assert spec.protocol.normalization.mean == [0, 1, 0.5]


def test_roots_and_weights_are_relative_to_the_spec(tmp_path: Path) -> None:
    write(tmp_path, "x", "specs/w.pt")
    entry = "  - {name: tiny, weights: w.pt}\n"
    path = write(tmp_path, edited(("  - tiny\n", entry), ("data/skin", "../data/./skin")), "specs/a.yaml")
    spec = load(path)
    assert spec.datasets[0].root == str(tmp_path / "data" / "skin")
    assert spec.models[0].weights == str(tmp_path / "specs" / "w.pt")
    absolute = load(write(tmp_path, edited(("data/skin", "/data/skin"))))
    assert absolute.datasets[0].root == "/data/skin"
    assert absolute.datasets[1].root is None


def test_warnings_do_not_make_a_spec_invalid(tmp_path: Path) -> None:
    path = write(tmp_path, edited(("  - tiny\n", "  - {name: tiny, weights: no/file.pt}\n")))
    loaded = load_spec(path, registry=small_registry())
    assert [item.check for item in loaded.warnings] == ["weights"]


def test_plugins_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    write(tmp_path, PLUGIN.format(name="mine"), "bases/plugins/mine.py")
    base = (
        "version: 1\nname: x\nplugins: [plugins/mine.py]\nmodels: [{name: mine, pretrained: none}]\n"
        "datasets: [{name: isic2018, root: d}]\n"
        "protocol: {pretrained: none, learning_rate: 1e-4, evaluate: {epochs: 1}}\n"
    )
    write(tmp_path, base, "bases/base.yaml")
    loaded = load_spec(write(tmp_path, "extends: bases/base.yaml\nname: y\n", "top.yaml"))
    assert loaded.registry.model("mine").family == "Mine"
    assert loaded.spec.name == "y"


def test_a_missing_spec_could_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSpecError):
        load_spec(tmp_path / "none.yaml")


def test_the_error_survives_a_process_border_and_says_all(tmp_path: Path) -> None:
    path = write(tmp_path, edited(("image_size: 256", "image_size: big"), ("  - tiny", "  - tini")))
    with pytest.raises(SpecError) as caught:
        load(path)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.diagnostics == caught.value.diagnostics
    assert str(again) == str(caught.value)
    assert f"{path}:4:5: error: unknown model 'tini'" in str(again) and f"{path}:11:15" in str(again)


def test_true_is_no_version(tmp_path: Path) -> None:
    assert [item.check for item in findings(write(tmp_path, edited(("version: 1", "version: 2"))))] == [
        "range"
    ]


@pytest.mark.parametrize(
    ("loc", "key"),
    [((), "extends"), (("models", 3), "pretrained"), (("protocol", "search", "early_stopping"), "patience")],
)
def test_valid_keys_are_known_by_place(loc: Loc, key: str) -> None:
    assert key in keys_at(loc)


def test_keys_know_their_homes() -> None:
    assert homes()["patience"] == ("protocol.early_stopping", "protocol.search.early_stopping")
    assert homes()["version"] == ("the top level",)
    assert sections_at(("nowhere",)) == []


def test_every_key_is_explained() -> None:
    # The meaning of a key is part of every message about it; a name is enough where there is one.
    silent = {"name", "label", "options", "weight_decay", "epochs", "description", "because", "root"}
    unexplained = {
        (section.__name__, key)
        for loc in [(), ("protocol",), ("models", 0), ("datasets", 0), ("protocol", "search"), ("runtime",)]
        for section in sections_at(loc)
        for key, field in section.model_fields.items()
        if not field.description and not section_types_of(field.annotation) and key not in silent
    }
    assert unexplained == set()


def section_types_of(annotation: object) -> list[type]:
    from bench_core.spec.sections import section_types

    return list(section_types(annotation))
