from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench_core.spec.compose import DEEPEST, MOST_VALUES, compose
from bench_core.spec.diagnostics import Diagnostic, SpecError
from bench_core.spec.nodes import Node, plain
from bench_core.spec.scalars import resolve
from tests.helpers.spec_files import unmarked


def read(text: str) -> tuple[Any, list[Diagnostic]]:
    report: list[Diagnostic] = []
    try:
        node = compose(text, "a.yaml", report)
    except SpecError as error:
        return None, error.diagnostics
    return plain(node), report


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        ("syntax", "a: b«: c\n", "quote"),
        ("syntax", "a:\n«\tb: 1\n", "indent with spaces"),
        ("syntax", "a: «@b\n", "quote the value"),
        ("syntax", 'a: "x«\\q"\n', "single quotes"),
        ("documents", "a: 1\n«---\nb: 2\n", "own file"),
        ("documents", "«", "start from"),
        ("documents", "«# only a comment\n", "start from"),
        ("nesting", "a: " + "[" * (DEEPEST - 1) + "«[" + "]" * DEEPEST + "\n", "flatten"),
        ("alias", "a: &x [1, «*x]\n", "write the value out"),
        ("alias", "a: &name 1\nb: «*nam\n", "did you mean *name"),
        ("tag", "a: «!!python/object:os.system x\n", "remove the tag"),
        ("tag", "a: «!!int word\n", "remove the tag"),
        ("tag", "a: «!!set {b}\n", "remove the tag"),
        ("number", "a: «" + "9" * 500 + "\n", "shorten"),
        ("duplicate-key", "a: 1\nb: 2\n«a: 3\n", "remove one"),
        ("duplicate-key", "x: {a: 1, «a: 1}\n", "remove one"),
        ("key-type", "«1: a\n", '"1":'),
        ("key-type", "«true: a\n", '"true":'),
        ("key-type", "«~: a\n", "write a word"),
        ("key-type", "? «[a, b]\n: c\n", "write a word"),
        ("key-type", "x: {«{a: 1}: c}\n", "write a word"),
        ("merge-key", "a: 1\n«<<: 5\n", "<<: *name"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_error_at_its_place(check: str, text: str, words: str) -> None:
    clean, place = unmarked(text)
    _, report = read(clean)
    assert [(found.check, (found.line, found.column)) for found in report] == [(check, place)]
    assert words in (report[0].fix or "")


def test_mistakes_that_leave_the_structure_readable_do_not_hide_each_other() -> None:
    data, report = read("a: 1\na: 2\n3: x\nb: *nothing\nc: !!float word\n")
    assert [found.check for found in report] == ["duplicate-key", "key-type", "alias", "tag"]
    assert data == {"a": 1, "3": "x", "b": None, "c": "word"}


def test_a_duplicate_names_the_first_one() -> None:
    _, report = read("a: 1\nb:\n  c: 1\n  c: 2\n")
    assert "a.yaml:3:3" in (report[0].cause or "")


def test_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 30)]
    _, report = read("\n".join(lines))
    assert [found.check for found in report] == ["alias"]
    assert report[0].line <= 6


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_VALUES == 100_000
    monkeypatch.setattr("bench_core.spec.compose.MOST_VALUES", 1000)
    assert read("[" + "1," * 999 + "]")[1] == []
    _, report = read("[" + "1," * 1001 + "]")
    assert [found.check for found in report] == ["file-size"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "? " * 50_000])
def test_endless_nesting_is_one_error(text: str) -> None:
    _, report = read(text)
    assert len(report) == 1 and report[0].check in ("nesting", "syntax")


def test_aliases_share_values() -> None:
    assert read("a: &x {b: [1, 2]}\nc: *x\n") == ({"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}, [])


def test_merge_keys_fill_in_what_is_not_given() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, x: 9}\nd: {<<: [*a, *b]}\ne: {'<<': 1}\n"
    data, report = read(text)
    assert not report
    assert (data["c"], data["d"]) == ({"x": 9, "y": 2}, {"x": 1, "y": 2, "z": 4})
    assert data["e"] == {"<<": 1}


def test_quotes_and_blocks_are_text() -> None:
    data, report = read("a: '1'\nb: \"no\"\nc: |\n  1\nd: >-\n  true\ne: ! 5\nf: !!str 5\ng: !!float 5\n")
    assert not report
    assert data == {"a": "1", "b": "no", "c": "1\n", "d": "true", "e": "5", "f": "5", "g": 5}


def means_the_same_to_pyyaml(text: str) -> bool:
    # PyYAML follows YAML 1.1, where for example 0E0 is text and needs no quotes.
    return isinstance(resolve(text), str) or yaml.safe_dump(text)[0] in "'\""


characters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
keys = st.text(characters, max_size=8).filter(means_the_same_to_pyyaml).filter(lambda key: key != "<<")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | keys,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_what_pyyaml_writes_is_read_back(value: Any, flow: bool) -> None:
    found, report = read(yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True))
    assert not report
    assert found == value


def scalars_of(node: Node) -> list[Node]:
    if node.mapping is not None:
        return [leaf for child in node.mapping.values() for leaf in scalars_of(child)]
    if node.items is not None:
        return [leaf for child in node.items for leaf in scalars_of(child)]
    return [node]


def keys_of(node: Node) -> list[tuple[str, int, int]]:
    below = list((node.mapping or {}).values()) + list(node.items or ())
    own = [(key, place.line, place.column) for key, place in node.keys.items()]
    return own + [key for child in below for key in keys_of(child)]


words = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
plain_values = st.recursive(
    st.integers(0, 999) | words | st.sampled_from([0.5, 1e-05, 2.25e20]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4) | st.dictionaries(words, inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(words, plain_values, min_size=1), st.booleans())
def test_each_place_is_where_the_text_stands(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow)
    lines = text.splitlines()
    root = compose(text, "a.yaml", [])
    for key, line, column in keys_of(root):
        assert lines[line - 1][column - 1 :].lstrip("'\"").startswith(key)
    for leaf in scalars_of(root):
        here = lines[leaf.place.line - 1][leaf.place.column - 1 :]
        token = here.split(",")[0].split("]")[0].split("}")[0].split("'")
        word = token[0] or token[1]
        assert word == leaf.value or (resolve(word) == leaf.value and math.isfinite(float(word)))


@pytest.mark.parametrize("name", ["null", "1", "true", "1.5"])
def test_a_key_that_is_no_text_is_not_missing_too(name: str) -> None:
    data, report = read(f"classes: {{{name}: 7}}\n")
    assert [found.check for found in report] == ["key-type"]
    assert data == {"classes": {name: 7}}
