from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.spec.compose import compose
from bench_core.spec.diagnostics import Diagnostic
from bench_core.spec.interpolate import interpolate
from bench_core.spec.nodes import plain

ENVIRONMENT = {"HOME": "/home/me", "EPOCHS": "12", "EMPTY": "", "WORD": "off", "DATASETS": "/d"}


def filled(value: str) -> tuple[Any, list[Diagnostic]]:
    report: list[Diagnostic] = []
    node = interpolate(compose(f"a: {value}\n", "x.yaml", report), ENVIRONMENT, report)
    return plain(node)["a"], report


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOME}/data", "/home/me/data"),
        ("${EPOCHS}", 12),
        ('"${EPOCHS}"', "12"),
        ("${UNSET:-3}", 3),
        ("${UNSET:-1e-4}", 1e-4),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", None),
        ('"${EMPTY}"', ""),
        ("${UNSET:-}", None),
        ("${WORD}", "off"),
        ("$HOME", "$HOME"),
        ("a$$b", "a$b"),
        ("$${HOME}", "${HOME}"),
        ("'.*\\.png$'", ".*\\.png$"),
        ("'${HOME}:${EPOCHS}'", "/home/me:12"),
        ("'${UNSET:-a:-b c}'", "a:-b c"),
    ],
)
def test_variables_are_filled_in(text: str, value: object) -> None:
    found, report = filled(text)
    assert not report
    assert found == value and type(found) is type(value)


def test_an_unset_variable_names_itself_its_place_and_its_neighbor() -> None:
    _, (found,) = filled("${DATASET}/x")
    assert (found.check, found.line, found.column) == ("variable", 1, 4)
    assert "DATASET " in found.message and "DATASETS" in found.message
    assert "${DATASET:-value}" in (found.fix or "")


@pytest.mark.parametrize(
    "text", ["${}", "${1a}", "'${a b}'", "'${HOME'", "${A:-${HOME}}", "${A-b}", "${UNSET:-${x"]
)
def test_what_looks_like_a_variable_must_be_one(text: str) -> None:
    _, report = filled(text)
    assert [item.check for item in report] == ["variable"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20))
def test_dollars_can_be_escaped(text: str) -> None:
    escaped = text.replace("$", "$$").replace("'", "''")
    assert filled(f"'{escaped}'") == (text, [])
