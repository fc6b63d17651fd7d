"""One number has one text: in every format of a table, in macros for papers and in the list of keys."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.analysis.scores import Score
from bench_core.errors import PluginError
from bench_core.metrics.scale import Scale
from bench_core.report.blocks import Section
from bench_core.report.compose import Report, compose
from bench_core.report.delimited import to_csv
from bench_core.report.keys import ALL, decoded, encoded, key
from bench_core.report.latex.escape import escape
from bench_core.report.latex.render import to_latex
from bench_core.report.markdown import to_markdown
from bench_core.report.numbers import numbers_csv, numbers_of, numbers_tex
from bench_core.report.page import to_html
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Row, Table, score_cell
from bench_core.report.write import write_report
from bench_core.text import table_cell
from tests.helpers.fake_study import write_study
from tests.helpers.latex import compiled, complaints, table_rows
from tests.helpers.page import Page

SCALES = st.sampled_from([Scale(), Scale("mm", "lower"), Scale("px", "lower")])
SCORES = st.builds(
    lambda values, more, scale: Score(dict(enumerate(values)), len(values) + more, scale),
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=4),
    st.integers(0, 2),
    SCALES,
)


PARTS = """\
analyses:
  - summary
  - per-class
  - folds
  - {name: comparisons, options: {samples: 200}}
  - {name: ranks, options: {samples: 200}}
"""


def score_table(scores: list[Score | None]) -> Table:
    rows = [
        Row((Cell(f"model{place}"), score_cell(found, key=key("d", f"m{place}", "mdsc"))), "one")
        for place, found in enumerate(scores)
    ]
    columns = (Column("model", "Model", numeric=False), Column("d", "D", SCORE_FIELDS))
    return Table("study-x", "S", columns, tuple(rows))


@given(st.text(max_size=20))
def test_names_come_back_from_keys_of_plain_characters(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._+=-]*", encoded(name)) and decoded(encoded(name)) == name
    assert key(name, ALL, "a/b").split("/") == [encoded(name), "*", "a=2Fb"]


@given(st.lists(st.one_of(st.none(), SCORES), min_size=1, max_size=6))
@settings(max_examples=12, deadline=None)
def test_all_formats_and_macros_print_the_same_numbers(scores: list[Score | None]) -> None:
    table = score_table(scores)
    read = list(csv.DictReader(io.StringIO(to_csv(table))))
    report = Report("r", "", "", True, (), (Section("s", "S", (table,)),))
    html = [row for row in Page(to_html(report)).tables["study-x"] if len(row) == 2][1:]
    plain = [line for line in to_markdown(table).splitlines() if line.startswith("| one")]
    tex = [row for row in table_rows(to_latex(table)) if row[0].startswith("model")]
    found = {item.key: item.text for item in numbers_of([table])}
    for place, score in enumerate(scores):
        cell = table.rows[place].cells[1]
        shown = f"{cell.text} {cell.small}".strip()
        assert html[place] == [f"model{place}", shown]
        assert plain[place].split(" | ")[2].removesuffix(" |").replace("\\", "") == shown
        assert " ".join(filter(None, tex[place][1:])) == escape(shown)
        if score is None:
            assert read[place]["d_mean"] == "" and f"d/m{place}/mdsc" not in found
            continue
        assert score.scale.text(float(read[place]["d_mean"])) == cell.text == found[f"d/m{place}/mdsc"]
        assert found[f"study-x:model{place}/d"] == cell.text
        assert found[f"d/m{place}/mdsc/n"] == read[place]["d_folds"]
        assert (f"d/m{place}/mdsc/std" in found) == (score.std is not None) == ("±" in cell.small)
        if score.std is not None:
            assert found[f"d/m{place}/mdsc/std"] == score.scale.text(float(read[place]["d_std"]))


def test_rows_that_are_alike_are_counted_and_a_number_with_two_texts_is_an_error() -> None:
    columns = (Column("a", "A", numeric=False), Column("b", "B"), Column("x", "X"))
    rows = [Row((Cell("a b"), Cell(b, (int(b),)), Cell(x, (float(x),)))) for b, x in ("12", "13", "24")]
    found = {item.key: item.text for item in numbers_of([Table("t", "T", columns, tuple(rows))])}
    assert found["t:a=20b/1/x"] == "2" and found["t:a=20b/1(2)/x"] == "3" and found["t:a=20b/2/x"] == "4"
    clash = [Row((Cell("1", quotes=(("k", text),)),)) for text in "12"]
    with pytest.raises(PluginError, match=r"number k .* both '1' and '2'"):
        numbers_of([Table("t", "T", (Column("x", "X"),), tuple(clash))])


def test_a_study_s_numbers_are_those_of_its_tables(tmp_path: Path) -> None:
    study = write_study(tmp_path, models="[broad, ring]", more=PARTS)
    report = compose(study.evidence(), study.loaded.registry)
    files = {path.name: path for path in write_report(report, tmp_path / "out", ["csv", "latex"])}
    listed = {row["key"]: row for row in csv.DictReader(io.StringIO(files["numbers.csv"].read_text()))}
    cells = {
        (table.name, column.key, f"{cell.text} {cell.small}".strip())
        for table in report.tables
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    }
    for row in listed.values():
        near = [shown for table, column, shown in cells if (table, column) == (row["table"], row["column"])]
        if not row["key"].endswith(("/planned", "/n")):
            assert any(row["text"] in shown for shown in near), row
    numbers = list(csv.DictReader(io.StringIO(files["study-mdsc.csv"].read_text())))
    for row in numbers:
        for dataset in ("moles", "polyps", "hearts"):
            assert (
                listed[f"{dataset}/{row['model']}/mdsc"]["text"]
                == f"{100 * float(row[f'{dataset}_mean']):.1f}"
            )
    for name in (
        "*/broad/mdsc", "hearts/broad/mdsc/class/atrium", "moles/ring/mdsc/pooled/interval",
        "moles/ring/mdsc/images/low", "moles/ring/mdsc/rank", "moles/ring/mdsc/rank/first",
        "*/ring/mdsc/rank",
        "*/ring/mdsc/rank-of-mean", "moles/ring:broad/mdsc/interval", "moles/ring:broad/mdsc/verdict",
        "polyps/*/mdsc/no-difference-shown", "folds:broad/moles/0/mdsc",
    ):  # fmt: skip
        assert listed[name]["text"], name
    pairs = [int(listed[f"moles/*/mdsc/{word}"]["text"]) for word in ("different", "equivalent", "pairs")]
    assert pairs[0] + pairs[1] <= pairs[2] == 1
    defined = re.findall(r"^\\segtrialset\{(.*?)\}\{(.*)\}$", files["numbers.tex"].read_text(), re.MULTILINE)
    assert defined == [(row["key"], escape(row["text"])) for row in listed.values()]


@pytest.mark.slow
def test_a_paper_quotes_numbers_and_an_unknown_one_stops_it(tmp_path: Path) -> None:
    study = write_study(tmp_path, models="[broad, ring]", more=PARTS)
    numbers = numbers_of(compose(study.evidence(), study.loaded.registry).tables)
    listed, tex = {item.key: item.text for item in numbers}, numbers_tex(numbers)
    body = (
        "\\section{\\segtrial{moles/ring/mdsc}}\\typeout{GOT \\segtrial{moles/ring/mdsc/std}.}"
        "\\newcommand{\\x}[1]{\\segtrial{#1}}\\x{*/ring/mdsc/rank}\\segtrial{moles/ring:broad/mdsc/verdict}"
    )
    log = compiled(tmp_path / "paper", {"numbers.tex": tex}, f"\\input{{numbers}}{body}")
    assert not complaints(log) and f"GOT {listed['moles/ring/mdsc/std']}." in log
    log = compiled(tmp_path / "wrong", {"numbers.tex": tex}, "\\input{numbers}\\segtrial{moles/rink/mdsc}")
    assert "No number of the report is called `moles/rink/mdsc'" in log


def test_a_table_may_not_have_the_name_of_the_numbers(tmp_path: Path) -> None:
    table = Table("Numbers", "N", (Column("x", "X"),), (Row((Cell("1"),)),))
    report = Report("r", "", "", True, (), (Section("s", "S", (table,)),))
    with pytest.raises(PluginError, match="called 'numbers'"):
        write_report(report, tmp_path / "out", ["latex"])
    assert write_report(report, tmp_path / "out", ["csv"])


def test_the_list_of_keys_is_safe_to_open() -> None:
    quoted = Row((Cell("=1+1", quotes=(("k", "=1+1"),)),))
    numbers = numbers_of([Table("t", "T", (Column("x", "X"),), (quoted,))])
    assert table_cell("=1+1") in numbers_csv(numbers) and ",=1" not in numbers_csv(numbers)
    assert "\\segtrialset{k}{=1+1}" in numbers_tex(numbers)
