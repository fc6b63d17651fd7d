"""Options of models and datasets: completed from their declarations, or refused with the reason."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.options import Option, complete_options

DECLARED = {
    "width": Option(type=int, default=64, help="channels", minimum=1, maximum=512),
    "dropout": Option(type=float, default=0.0, help="rate", minimum=0, maximum=1),
    "look": Option(type=str, default="endoscopy", help="look", choices=("dermoscopy", "endoscopy")),
    "labels": Option(type=dict, default={}, help="values to classes"),
    "sizes": Option(type=list, default=(1, 2), help="sizes", minimum=1),
    "logs": Option(type=list, default=(), help="where to", choices=("text", "table")),
    "limit": Option(type=int, default=None, help="largest number"),
    "side": Option(type=int, default=None, help="pixels", minimum=32, maximum=100, multiple=32),
    "flag": Option(type=bool, default=False, help="on or off"),
}


def test_defaults_fill_what_is_not_given() -> None:
    assert complete_options(DECLARED, {}) == {
        "width": 64,
        "dropout": 0.0,
        "look": "endoscopy",
        "labels": {},
        "sizes": [1, 2],
        "logs": [],
        "limit": None,
        "side": None,
        "flag": False,
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("width", 8, 8),
        ("dropout", 1, 1.0),
        ("look", "dermoscopy", "dermoscopy"),
        ("labels", {255: "lesion"}, {"255": "lesion"}),
        ("sizes", [3, 4], [3, 4]),
        ("logs", ["table", "text"], ["table", "text"]),
        ("limit", None, None),
        ("limit", 3, 3),
        ("side", 64, 64),
        ("flag", True, True),
    ],
)
def test_a_valid_value_is_taken_as_plain_data(name: str, value: Any, expected: Any) -> None:
    taken = complete_options(DECLARED, {name: value})[name]
    assert taken == expected
    assert type(taken) is type(expected)
    assert json.loads(json.dumps(taken)) == taken


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("widht", 8, "did you mean 'width'"),
        ("zzz", 8, "options are: dropout, flag, labels"),
        ("side", 70, r"must be a multiple of 32, not 70 (nearest: 64 or 96)"),
        ("side", 97, r"not 97 (nearest: 96)"),
        ("side", 31, "at least 32"),
        ("width", "8", "must be a whole number, not '8' (text)"),
        ("width", 8.0, "must be a whole number, not 8.0 (a number)"),
        ("width", True, "must be a whole number, not true"),
        ("width", None, "must be a whole number, not empty (null)"),
        ("width", 0, "at least 1"),
        ("width", 513, "at most 512"),
        ("dropout", 1.5, "at most 1"),
        ("dropout", float("nan"), "must be finite"),
        ("look", "endoscope", "did you mean 'endoscopy'"),
        ("sizes", [3, 0], "at least 1"),
        ("logs", ["text", "tables"], "cannot contain 'tables', did you mean 'table'"),
        ("labels", {1: "a", "1": "b"}, "two keys that read the same"),
        ("labels", {"a": object()}, "not a number, text, list or mapping"),
        ("width", 2**70, "at most 512"),
        ("limit", 2**70, "at most 9,007,199,254,740,992"),
        ("flag", 1, "must be true or false, not 1 (a whole number)"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_is_valid(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        complete_options(DECLARED, {name: value})
    assert repr(name) in str(caught.value)


def test_no_options_at_all_is_said() -> None:
    with pytest.raises(ValueError, match="there are no options here"):
        complete_options({}, {"width": 1})


@given(st.dictionaries(st.sampled_from(["width", "limit"]), st.integers(1, 512)))
def test_completing_twice_changes_nothing(chosen: dict[str, int]) -> None:
    once = complete_options(DECLARED, chosen)
    assert complete_options(DECLARED, once) == once
    assert set(once) == set(DECLARED)
