from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.spec.diagnostics import Diagnostic
from bench_core.spec.load import load_spec
from bench_core.spec.model import Spec
from tests.helpers.spec_files import VALID, findings, small_registry, write


def load(folder: Path, *overrides: str) -> Spec:
    return load_spec(write(folder, VALID), overrides, registry=small_registry()).spec


def test_values_are_read_as_yaml(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        "protocol.batch_size=4",
        "protocol.early_stopping=off",
        "protocol.search.learning_rate=[1e-3]",
        "description=a = b",
    )
    assert spec.protocol.batch_size == 4
    assert spec.protocol.early_stopping == "off"
    assert spec.protocol.search is not None and spec.protocol.search.learning_rate == [1e-3]
    assert spec.description == "a = b"


def test_bare_names_can_be_reached_into_and_later_ones_win(tmp_path: Path) -> None:
    spec = load(tmp_path, "models.0.label=a", "models.0.label=b", "models.0.options.width=4")
    assert (spec.models[0].name, spec.models[0].label, spec.models[0].options) == ("tiny", "b", {"width": 4})


def test_whole_lists_may_be_bare_names(tmp_path: Path) -> None:
    spec = load(tmp_path, "models=[scratch]", "exclude=[]")
    assert [entry.name for entry in spec.models] == ["scratch"]


def test_nothing_takes_a_value_away(tmp_path: Path) -> None:
    spec = load(tmp_path, "protocol.search=", "protocol.learning_rate=1e-3")
    assert spec.protocol.search is None


def found(folder: Path, *overrides: str) -> list[Diagnostic]:
    return findings(write(folder, VALID), overrides)


def test_an_unknown_path_suggests_the_nearest_one(tmp_path: Path) -> None:
    (first, second) = found(tmp_path, "seed=3", "protocol.bach_size=4", "protocl.batch_size=4")
    assert (first.path, first.line, first.fix) == ("--set", 2, "did you mean 'batch_size'?")
    assert (second.path, second.line, second.fix) == ("--set", 3, "did you mean 'protocol'?")


def test_a_wrong_value_points_at_the_value(tmp_path: Path) -> None:
    (item,) = found(tmp_path, "protocol.batch_size=many")
    assert (item.check, item.path, item.line, item.column) == ("type", "--set", 1, 21)


@pytest.mark.parametrize(
    "override",
    ["", "=", "=3", "a..b=3", ".=1", "models.-1=x", "models.x=y", "models.9999999999=x", "name.a.b=1"],
)
def test_paths_that_are_none_are_one_error(override: str, tmp_path: Path) -> None:
    (item,) = found(tmp_path, override)
    assert (item.check, item.path, item.line) == ("set", "--set", 1)


@pytest.mark.parametrize(
    "value", ["[", "{a: 1", "a: b: c", "\x00", "&a [*a]", "*x", "\udcff", "--- a\n--- b"]
)
def test_values_that_are_no_yaml_are_errors_on_the_command_line(value: str, tmp_path: Path) -> None:
    items = found(tmp_path, f"description={value}")
    assert items and {item.path for item in items} == {"--set"}
    assert all(item.line == 1 and item.column >= 1 for item in items)
