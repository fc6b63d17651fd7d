"""Tables of steps: they read back as written, and nothing impossible is believed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.metrics.tables import (
    ImageScores,
    TableError,
    count_rows,
    read_counts,
    read_scores,
    score_rows,
)

IDS, CLASSES = ("a", "b", "c"), ("left", "right")
SIZES = [(3, 4), (50, 60), (7, 7)]
COUNTS = np.array([[[1, 2, 3], [0, 0, 0]], [[100, 20, 3], [5, 6, 7]], [[49, 0, 0], [0, 1, 48]]])


def written(rows: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """The rows as a store writes and reads them."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(list(rows[0]))
    writer.writerows(
        [repr(value) if isinstance(value, float) else value for value in row.values()] for row in rows
    )
    return list(csv.DictReader(io.StringIO(text.getvalue())))


@st.composite
def scores(draw: st.DrawFn) -> dict[str, ImageScores]:
    found = {}
    for name in draw(st.lists(st.sampled_from(["hd95", "nsd", "mine"]), unique=True, min_size=1)):
        unit = draw(st.sampled_from(["fraction", "px", "mm"]))
        number = st.floats(0, 1 if unit == "fraction" else 1e6) | st.just(float("nan"))
        values = draw(st.lists(number, min_size=6, max_size=6))
        found[name] = ImageScores(unit, np.array(values).reshape(3, 2))
    return found


@settings(max_examples=100, deadline=None)
@given(scores(), st.randoms(use_true_random=False))
def test_scores_read_back_in_any_order_of_rows(measured: dict[str, ImageScores], random: object) -> None:
    rows = written(list(score_rows(IDS, CLASSES, measured)))
    random.shuffle(rows)  # type: ignore[attr-defined]
    found = read_scores(rows, IDS, CLASSES)
    assert found.keys() == measured.keys()
    for name, item in measured.items():
        assert found[name].unit == item.unit
        np.testing.assert_array_equal(found[name].values, item.values)


def test_counts_read_back() -> None:
    rows = written(list(count_rows(IDS, CLASSES, SIZES, COUNTS)))
    np.testing.assert_array_equal(read_counts(rows[::-1], IDS, CLASSES), COUNTS)


def table(name: str) -> list[dict[str, str]]:
    measured = {"hd95": ImageScores("px", np.ones((3, 2))), "nsd": ImageScores("fraction", np.ones((3, 2)))}
    if name == "scores":
        return written(list(score_rows(IDS, CLASSES, measured)))
    return written(list(count_rows(IDS, CLASSES, SIZES, COUNTS)))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("scores", {"score": "-1"}, "not possible"),
        ("scores", {"score": "inf"}, "not possible"),
        ("scores", {"score": "1e12"}, "not possible"),
        ("scores", {"score": "x"}, "not a number"),
        ("scores", {"unit": "inch"}, "'inch'"),
        ("scores", {"unit": "mm"}, "in mm and in px"),
        ("scores", {"image": "z\x1b[31m"}, "'z\\\\x1b[31m'"),
        ("scores", {"class": "up"}, "'up'"),
        ("scores", {"image": "b"}, "twice"),
        ("scores", {"metric": "nsd", "unit": "fraction"}, "twice"),
        ("scores", {"metric": "new"}, "missing"),
        ("counts", {"tp": "-1"}, "not a count"),
        ("counts", {"tp": "1.5"}, "not a count"),
        ("counts", {"fp": "9" * 30}, "not a count"),
        ("counts", {"fn": "100"}, "exceed its pixels"),
        ("counts", {"height": "0"}, "the size"),
        ("counts", {"width": str(2**40)}, "the size"),
        ("counts", {"image": "b"}, "twice"),
    ],
)
def test_what_cannot_be_is_refused(name: str, change: dict[str, str], says: str) -> None:
    rows = table(name)
    rows[0] = {**rows[0], **change}
    read = read_scores if name == "scores" else read_counts
    with pytest.raises(TableError, match=says.replace("[", "\\[")):
        read(rows, IDS, CLASSES)


@pytest.mark.parametrize("name", ["scores", "counts"])
def test_a_table_of_other_columns_or_with_a_row_less_is_refused(name: str) -> None:
    read = read_scores if name == "scores" else read_counts
    rows = table(name)
    with pytest.raises(TableError, match="missing"):
        read(rows[1:], IDS, CLASSES)
    with pytest.raises(TableError, match="columns"):
        read([{**row, "more": "1"} for row in rows], IDS, CLASSES)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["scores", "counts"]), st.integers(0, 5), st.text(max_size=12), st.data())
def test_any_text_in_any_place_is_read_or_refused_and_nothing_else(
    name: str, row: int, text: str, data: st.DataObject
) -> None:
    rows = table(name)
    rows[row][data.draw(st.sampled_from(list(rows[row])))] = text
    try:
        (read_scores if name == "scores" else read_counts)(rows, IDS, CLASSES)
    except TableError as error:
        assert str(error).isprintable()
