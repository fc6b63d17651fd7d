from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.spec.compose import compose
from bench_core.spec.diagnostics import Diagnostic
from bench_core.spec.layers import merge, read_layers
from bench_core.spec.load import load_spec
from bench_core.spec.nodes import Node, place_of, plain
from bench_core.spec.pools import Selection
from tests.helpers.spec_files import VALID, edited, findings, small_registry, write


def layered(path: Path) -> tuple[Node, list[Diagnostic]]:
    report: list[Diagnostic] = []
    return read_layers(path, report, {"BASE": "base.yaml"}), report


def test_a_spec_is_laid_over_its_base(tmp_path: Path) -> None:
    write(tmp_path, VALID, "base.yaml")
    protocol = "protocol: {image_size: 128, search: {epochs: 9}}\n"
    text = f"extends: base.yaml\nname: other\nmodels: [scratch]\n{protocol}exclude: []\n"
    spec = load_spec(write(tmp_path, text), registry=small_registry()).spec
    assert (spec.name, [entry.name for entry in spec.models]) == ("other", ["scratch"])
    assert spec.protocol.image_size == 128
    assert spec.protocol.search is not None
    assert (spec.protocol.search.epochs, spec.protocol.search.learning_rate) == (9, [1e-4, 5e-5])
    assert spec.protocol.evaluate.epochs == 4
    assert spec.exclude == []


def test_a_pool_is_laid_over_as_a_whole_and_beside_the_bases_others(tmp_path: Path) -> None:
    write(tmp_path, VALID + "pools: {some: {family: [A, B]}, both: all}\n", "base.yaml")
    text = "extends: base.yaml\npools: {some: {models: [tiny, boxy]}}\n"
    spec = load_spec(write(tmp_path, text), ["pools.more=[boxy, tiny]"], registry=small_registry()).spec
    assert spec.pools == {
        "some": Selection(models=["tiny", "boxy"]),
        "both": "all",
        "more": ["boxy", "tiny"],
    }


def test_mistakes_point_into_the_file_that_holds_them(tmp_path: Path) -> None:
    base = write(tmp_path, edited(("image_size: 256", "image_size: 250")), "bases/base.yaml")
    spec = write(tmp_path, "extends: bases/base.yaml\nprotocol:\n  batch_size: none\n")
    found = findings(spec)
    assert [(item.path, item.line, item.column) for item in found] == [
        (str(spec), 3, 15),
        (str(base), 11, 15),
    ]


def test_null_takes_back_what_a_base_says(tmp_path: Path) -> None:
    write(tmp_path, VALID, "base.yaml")
    text = "extends: base.yaml\nprotocol: {search: null, learning_rate: 1e-3}\n"
    spec = load_spec(write(tmp_path, text), registry=small_registry()).spec
    assert spec.protocol.search is None and spec.protocol.learning_rate == 1e-3


def test_later_bases_win_and_bases_may_have_bases(tmp_path: Path) -> None:
    write(tmp_path, "a: 1\nb: 1\nc: 1\nd: {x: 1, y: 1}\n", "first.yaml")
    write(tmp_path, "extends: first.yaml\nb: 2\nd: {y: 2}\n", "second.yaml")
    write(tmp_path, "c: 3\n", "third.yaml")
    node, report = layered(write(tmp_path, "extends: [second.yaml, third.yaml]\ne: 4\n"))
    assert not report
    assert plain(node) == {"a": 1, "b": 2, "c": 3, "d": {"x": 1, "y": 2}, "e": 4}
    assert place_of(node, ("d", "x")).path.endswith("first.yaml")
    assert place_of(node, ("d", "y")).path.endswith("second.yaml")


def test_the_base_may_be_a_variable(tmp_path: Path) -> None:
    write(tmp_path, "a: 1\n", "base.yaml")
    assert plain(layered(write(tmp_path, "extends: ${BASE}\nb: 2\n"))[0]) == {"a": 1, "b": 2}


def test_circles_are_named(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    write(tmp_path, "x: 1\nextends: ../" + tmp_path.name + "/a.yaml\n", "b.yaml")
    node, (found,) = layered(tmp_path / "a.yaml")
    assert plain(node) == {"x": 1}
    assert (found.check, found.line, found.column) == ("extends", 2, 10)
    assert found.cause == "a.yaml -> b.yaml -> a.yaml"
    write(tmp_path, "extends: self.yaml\n", "self.yaml")
    assert [item.check for item in layered(tmp_path / "self.yaml")[1]] == ["extends"]


@pytest.mark.parametrize("base", ["nosuch.yaml", "spec.yaml"])
def test_what_a_base_might_have_held_is_not_missing(base: str, tmp_path: Path) -> None:
    found = findings(write(tmp_path, f"extends: {base}\nprotocol: {{batch_size: 2}}\n", "spec.yaml"))
    assert [item.check for item in found] == ["extends"]


def test_a_base_that_is_shared_is_no_circle(tmp_path: Path) -> None:
    write(tmp_path, "a: 1\n", "root.yaml")
    write(tmp_path, "extends: root.yaml\nb: 1\n", "left.yaml")
    write(tmp_path, "extends: root.yaml\nc: 1\n", "right.yaml")
    node, report = layered(write(tmp_path, "extends: [left.yaml, right.yaml]\n"))
    assert not report and plain(node) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("base", ["not yaml: [", "- a\n", "seed: 1\nseed: 2\n", "a: \x00"])
def test_broken_bases_are_reported_in_their_file(base: str, tmp_path: Path) -> None:
    path = write(tmp_path, base, "base.yaml")
    found = findings(write(tmp_path, "extends: base.yaml\n" + VALID))
    assert [item.path for item in found] == [str(path)]


keys = st.sampled_from("abcd")
mappings = st.recursive(
    st.dictionaries(keys, st.integers(0, 5) | st.lists(st.integers(0, 5), max_size=2), max_size=4),
    lambda inner: st.dictionaries(keys, inner | st.integers(0, 5), max_size=4),
    max_leaves=12,
)


def node_of(value: Any) -> Node:
    return compose(json.dumps(value), "x.yaml", [])


def merged(base: Any, over: Any) -> Any:
    return plain(merge(node_of(base), node_of(over)))


@given(mappings, mappings, mappings)
def test_merging_is_associative_and_has_an_identity(a: Any, b: Any, c: Any) -> None:
    # A scalar between two mappings cuts them apart from one side only; the values of a key keep their kind.
    if not any(clash(*pair) for pair in ((a, b), (b, c), (a, c), (merged(a, b), c))):
        assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, {}) == a
    assert merged({}, a) == a
    assert merged(a, a) == a


def clash(a: Any, b: Any) -> bool:
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return isinstance(a, dict) != isinstance(b, dict)
    return any(clash(a[key], b[key]) for key in a.keys() & b.keys())


@given(mappings, mappings)
def test_what_is_laid_over_wins_and_nothing_is_lost(base: Any, over: Any) -> None:
    result = merged(base, over)
    assert result.keys() == base.keys() | over.keys()
    for key in result:
        if key not in over:
            assert result[key] == base[key]
        elif key not in base or not (isinstance(base[key], dict) and isinstance(over[key], dict)):
            assert result[key] == over[key]
        else:
            assert result[key] == merged(base[key], over[key])
