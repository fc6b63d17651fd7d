"""LaTeX tables: any text compiles, and any table gets onto the page it is set for."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.report.latex.escape import escape, prose
from bench_core.report.latex.fit import height, parts_of
from bench_core.report.latex.paper import LatexOptionError, Paper, parse_choice
from bench_core.report.latex.render import to_latex
from bench_core.report.latex.widths import text_width
from bench_core.report.tables import Cell, Column, Mark, Row, Table
from tests.helpers.latex import compiled, complaints, table_rows

HOSTILE = "ab01 \\&%$#_{}~^<>|\"'`*[]-,±−★–·…\nμéßħ日\u202e\x1b😀\u0301\u00a0"
ANY = st.text(alphabet=st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=24)
PAPERS = (Paper(), Paper(two_columns=True), Paper(siunitx=True), Paper(width=250, height=300))


def table(*texts: str) -> Table:
    cells = tuple(Cell(text, marks=frozenset({"family", "best"}), notes=("a",)) for text in texts)
    columns = tuple(Column(f"c{index}", text, numeric=index % 2 == 1) for index, text in enumerate(texts))
    return Table("t", texts[0], columns, (Row(cells, texts[-1]), Row(cells)), texts[0], (("a", texts[0]),))


def study(models: int, datasets: int, name: str = "Specialized-Net {} (variant b{})") -> Table:
    draw = random.Random(1)
    columns = [Column("model", "Model", numeric=False), Column("parameters", "Params")]
    columns += [Column(f"data{index}", f"Dataset number {index}") for index in range(datasets)]
    columns += [Column("average", "Average"), Column("learning_rate", "Learning rate")]
    rows = []
    for model in range(models):
        marks = frozenset[Mark]({"family", "best"} if not model else ())
        cells = [Cell(name.format(model, model), notes=("a",) if model % 2 else ()), Cell("31.0M")]
        cells += [
            Cell(f"{draw.uniform(5, 99):.1f}", marks=marks, small=f"± {draw.uniform(0, 9):.1f}")
            for _ in range(datasets)
        ]
        rows.append(Row((*cells, Cell("88.8", marks=marks), Cell("1e-4 · 5e-5")), "SMA" if model % 2 else ""))
    note = "pretrained: none instead of imagenet, because `vgg13_bn` fits four of its five stages"
    return Table("study", "micro mDSC", tuple(columns), tuple(rows), "Bold: best.", (("a", note),))


@given(ANY, ANY, ANY, st.sampled_from(PAPERS))
def test_any_text_makes_whole_rows(first: str, second: str, third: str, paper: Paper) -> None:
    rows = table_rows(to_latex(table(first, second, third), paper))
    assert len(rows) >= 3


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from(PAPERS))
@settings(max_examples=30)
def test_parts_hold_every_cell_and_fit(models: int, datasets: int, paper: Paper) -> None:
    full = study(models, datasets)
    parts = parts_of(full, paper)
    seen = {
        (row.cells[0].text, column.key)
        for part in parts
        for row in part.table.rows
        for column in part.table.columns
    }
    assert seen == {(row.cells[0].text, column.key) for row in full.rows for column in full.columns}
    for part in parts:
        assert part.table.columns[0].key == "model"
        taken = part.face.ratio * sum(slot.taken for slot in part.slots)
        assert taken + 2 * part.face.space * (len(part.slots) - 1) <= part.room
        assert part.long or len(part.table.rows) == 1 or height(part) <= paper.height
        used = {mark for row in part.table.rows for cell in row.cells for mark in cell.notes}
        assert models == 1 or {mark for mark, _ in part.table.notes} == used
    text = to_latex(full, paper)
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert labels == ["tab:study", *(f"tab:study:{number}" for number in range(2, len(parts) + 1))]
    assert "longtable" not in text or not paper.two_columns
    table_rows(text)


def test_what_is_tried_first_changes_least() -> None:
    (small,) = parts_of(study(3, 1, "Net {}"), Paper())
    assert (small.face.command, small.wide, small.long) == ("\\normalsize", False, False)
    (column,) = parts_of(study(3, 1, "Net {}"), Paper(two_columns=True, width=700))
    assert not column.wide
    (both,) = parts_of(study(11, 3), Paper(two_columns=True))
    assert both.wide and both.face.command != "\\footnotesize"
    (broken,) = parts_of(study(11, 3), Paper())
    assert any(slot.wrapped for slot in broken.slots)
    several = parts_of(study(11, 8), Paper())
    assert len(several) > 1 and all(part.table.columns[0].key == "model" for part in several)
    assert parts_of(study(80, 1), Paper())[0].long
    text = to_latex(study(11, 8), Paper())
    assert f"(part 2 of {len(several)})" in text and text.count("Bold: best.") == 1


def test_rows_of_all_parts_can_be_told_apart() -> None:
    columns = [Column("model", "M", numeric=False), Column("fold", "Fold")]
    columns += [Column(f"x{index}", "A long heading") for index in range(12)]
    cells = [tuple(Cell(text) for text in ("net", str(fold), *["0.123456789"] * 12)) for fold in range(3)]
    parts = parts_of(Table("folds", "F", tuple(columns), tuple(map(Row, cells))), Paper())
    assert len(parts) > 1
    assert all([column.key for column in part.table.columns[:2]] == ["model", "fold"] for part in parts)


def test_columns_are_chosen_by_table_and_notes_follow() -> None:
    paper = Paper(columns=(("st*", ("model", "data*", "average")),))
    text = to_latex(study(4, 2), paper)
    assert "Learning rate" not in text and "Params" not in text and "Average" in text
    assert "vgg13" not in to_latex(study(4, 2), Paper(columns=(("study", ("data0",)),)))
    assert parse_choice("a=b, c*") == ("a", ("b", "c*"))
    for wrong in ("a", "=b", "a=", "a=b,,c", "a=b,b"):
        with pytest.raises(ValueError):
            parse_choice(wrong)
    with pytest.raises(LatexOptionError, match="no column 'dta'"):
        to_latex(study(4, 2), Paper(columns=(("study", ("dta",)),)))
    with pytest.raises(LatexOptionError, match="no table"):
        Paper(columns=(("other", ("model",)),)).check([study(1, 1)])


def test_siunitx_gets_numbers_as_numbers_and_texts_in_braces() -> None:
    cells = (Cell("m"), Cell("−1.25", marks=frozenset({"family"}), small="± 0.5"))
    rows = (Row(cells), Row((Cell("n"), Cell("–"))), Row((Cell("o"), Cell("+10.5"))))
    columns = (Column("m", "M", numeric=False), Column("x", "X"))
    text = to_latex(Table("t", "T", columns, rows), Paper(siunitx=True))
    assert "S[table-format=-2.2," in text
    assert [row[1] for row in table_rows(text)][1:] == ["\\bfseries -1.25", "{--}", "+10.5"]


def test_escapes_in_detail() -> None:
    assert escape("50% & a_b #1 {x} ~ ^ \\") == (
        r"50\% \& a\_b \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert escape("91.4 ± 0.5") == r"91.4 $\pm$ 0.5"
    assert escape("a--b ''c'' –-") == "a-{}-b '{}'c'{}' --{}-"
    assert escape("日\u0301") == r"\segtrialchar{65E5}\segtrialchar{0301}"
    assert prose("use `a_b` and `") == r"use \texttt{a\_b} and \textasciigrave{}"


@pytest.mark.slow
def test_tables_compile_and_fit_their_page(tmp_path: Path) -> None:
    texts = [chr(code) * 2 + "x" for code in (*range(1, 0x180), 0x3B1, 0x65E5, 0x1F600, 0x2028, 0x2212)]
    chunks = [texts[start : start + 6] for start in range(0, len(texts), 6)]
    draw = random.Random(2)
    chunks += [["".join(draw.choices(HOSTILE, k=12)) for _ in range(3)] for _ in range(60)]
    files = {f"t{index}.tex": to_latex(table(*chunk)) for index, chunk in enumerate(chunks)}
    body = "\n".join(f"\\input{{t{index}}}\\clearpage" for index in range(len(chunks)))
    log = compiled(tmp_path / "any", files, body)
    assert not [line for line in complaints(log) if line.startswith("!")], complaints(log)
    sizes = [(models, sets) for models in (1, 11, 60) for sets in (1, 3, 9)]
    for two in (False, True):
        paper = Paper(two_columns=two)
        files = {f"s{index}.tex": to_latex(study(*size), paper) for index, size in enumerate(sizes)}
        body = "\n".join(f"\\input{{s{index}}}\\clearpage" for index in range(len(sizes)))
        # What measures instead of scaling shows that nothing had to be scaled.
        measured = (
            "\\newcommand{\\segtrialfit}[1]{\\sbox0{#1}\\typeout{W \\the\\wd0 of \\the\\linewidth}\\usebox0}"
        )
        log = compiled(tmp_path / f"two-{two}", files, body, two, measured)
        assert not complaints(log)
        found = re.findall(r"^W ([\d.]+)pt *of ([\d.]+)pt", log, re.MULTILINE)
        assert found and all(float(wide) <= float(room) for wide, room in found)
    aligned = {"s.tex": to_latex(study(11, 3), Paper(siunitx=True))}
    log = compiled(tmp_path / "si", aligned, "\\input{s}", more="\\usepackage{siunitx}")
    assert not complaints(log)


@pytest.mark.slow
def test_widths_are_those_of_print(tmp_path: Path) -> None:
    texts = ["Specialized-Net 6 (variant b6)", "88.4 ± 1.0", "pretrained: none", "WIDE MODEL", "a_b/c.png"]
    body = "\n".join(f"\\setbox0\\hbox{{{escape(text)}}}\\typeout{{W \\the\\wd0}}" for text in texts)
    log = compiled(tmp_path, {}, body + "x")
    measured = [float(width) for width in re.findall(r"^W ([\d.]+)pt", log, re.MULTILINE)]
    for text, true in zip(texts, measured, strict=True):
        assert true <= text_width(text) <= 1.06 * true, text
