"""CSV and Markdown of a table: nothing that the format would misread."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.report import markdown
from bench_core.report.delimited import to_csv
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Row, Table, score_cell
from bench_core.text import table_cell

HOSTILE = st.text(alphabet=st.sampled_from(list("ab01 \\&%$#_{}~^<>|\"'`*[]-±★\n")), max_size=20)


def table(*texts: str) -> Table:
    cells = tuple(Cell(text, marks=frozenset({"family", "best"}), notes=("a",)) for text in texts)
    columns = tuple(Column(f"c{index}", text, numeric=False) for index, text in enumerate(texts))
    return Table("t", texts[0], columns, (Row(cells, texts[-1]),), texts[0], (("a", texts[0]),))


@given(HOSTILE, HOSTILE)
def test_markdown_keeps_its_columns(first: str, second: str) -> None:
    lines = markdown.to_markdown(table(first, second)).splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 3
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == (4 if second else 3), row
    assert not re.search("[<>]", markdown.escape(first))


@given(HOSTILE, HOSTILE)
def test_csv_reads_back(first: str, second: str) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(table(first, second)), newline="")))
    assert [row[-2:] for row in rows] == [["c0", "c1"], [table_cell(first), table_cell(second)]]


def test_csv_holds_full_precision_and_empty_for_missing() -> None:
    from bench_core.analysis.scores import Score

    value = 1 / 3
    columns = (Column("model", "M", numeric=False), Column("x", "X", SCORE_FIELDS))
    rows = tuple(
        Row((Cell("m"), score_cell(score)))
        for score in (Score({0: value, 1: 0.5}, 3), Score({0: value}, 1), None)
    )
    read = list(csv.DictReader(io.StringIO(to_csv(Table("t", "T", columns, rows)))))
    assert float(read[0]["x_mean"]) == (value + 0.5) / 2
    assert float(read[0]["x_std"]) == pytest.approx(abs(value - 0.5) / 2**0.5)
    assert (read[0]["x_folds"], read[0]["x_planned"], read[0]["x_unit"]) == ("2", "3", "fraction")
    assert read[1]["x_std"] == ""
    assert (read[2]["x_mean"], read[2]["x_folds"]) == ("", "0")


def test_a_cell_that_does_not_fill_its_column_is_an_error() -> None:
    wrong = Table("t", "T", (Column("x", "X", ("a", "b")),), (Row((Cell("1", (1,)),)),))
    with pytest.raises(ValueError, match="column x has 2 fields"):
        to_csv(wrong)


def test_an_incomplete_score_says_so() -> None:
    from bench_core.analysis.scores import Score

    cell = score_cell(Score({0: 0.9, 1: 0.91}, 5))
    assert (cell.text, cell.small) == ("90.5", "± 0.7 (2/5)")
    cell = score_cell(Score({0: 0.9, 1: 0.91}, 5, undefined=1))
    assert (cell.text, cell.small) == ("90.5", "± 0.7 (2/5, 1 undefined)")


def test_a_length_is_printed_in_its_unit() -> None:
    from bench_core.analysis.pairs import Pair
    from bench_core.analysis.scores import Score
    from bench_core.metrics.scale import Scale
    from bench_core.report.tables import difference_cell

    scale = Scale("mm", "lower")
    cell = score_cell(Score({0: 3.25, 1: 3.75}, 2, scale))
    assert (cell.text, cell.small, cell.values[-1]) == ("3.50", "± 0.35", "mm")
    cell = difference_cell(Pair("a", "b", "d", {0: -1.0, 1: 0.5}, scale))
    assert (cell.text, cell.small) == ("−0.25", "± 1.06 (1/2)")
    assert cell.values == (-0.25, pytest.approx(1.0606601717798212), 1, 1, 2, "mm")


@given(st.text(alphabet=st.sampled_from(list("=+-@\t\r1a\x1b\u202e")), min_size=1, max_size=8))
def test_csv_holds_no_formula_and_nothing_hidden(text: str) -> None:
    (head, row) = csv.reader(io.StringIO(to_csv(table(text, "plain")), newline=""))
    for cell in (*head, *row):
        assert re.fullmatch(r"[-+]?1+", cell) or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert "\x1b" not in cell and "\u202e" not in cell
