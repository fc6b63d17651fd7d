"""A table as LaTeX with booktabs rules, to be \\input into a paper."""

from __future__ import annotations

from bench_core.report.latex.escape import DEFINE_UNKNOWN, UNKNOWN, breakable, escape, label, prose
from bench_core.report.latex.fit import Face, Part, group_is_wide, height, parts_of
from bench_core.report.latex.paper import Paper
from bench_core.report.latex.slots import NUMBER, Slot, is_bold
from bench_core.report.latex.widths import STAR
from bench_core.report.tables import Cell, Column, Row, Table

_FIT = (
    r"\providecommand{\segtrialfit}[1]{\sbox0{#1}\ifdim\wd0>\linewidth"
    r"\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}"
)
"""Letters of another font may be wider than estimated: then, and only then, the table is scaled."""
_ARTICLE = Paper()


def to_latex(table: Table, paper: Paper = _ARTICLE) -> str:
    """Return the table as floats (or as longtable) that fit the paper: best values bold, the best starred.

    It needs the packages that its first line names. Raises LatexOptionError for a column that is not there.
    """
    parts = parts_of(table, paper)
    body = [line for part in parts for line in (_long(part) if part.long else _float(part, paper))]
    packages = ["array", "booktabs", "graphicx"]
    packages += ["longtable"] * any(part.long for part in parts)
    packages += ["siunitx"] * any(slot.number for part in parts for slot in part.slots)
    lines = [f"% needs \\usepackage{{{','.join(packages)}}} and \\usepackage[T1]{{fontenc}}", _FIT]
    if any(UNKNOWN in line for line in body):
        lines.append(DEFINE_UNKNOWN)
    return "\n".join([*lines, *body]) + "\n"


def _float(part: Part, paper: Paper) -> list[str]:
    name = "table*" if part.wide else "table"
    place = "[p]" if height(part) > 0.7 * paper.height else "[tbp]"
    lines = [f"\\begin{{{name}}}{place}", "  \\centering"]
    # Classes leave no space below a caption, since they expect it under a figure.
    lines += ["  \\setlength{\\abovecaptionskip}{0pt}\\setlength{\\belowcaptionskip}{6pt}"]
    lines += [f"  {_caption(part)}", f"  {_label(part)}", f"  {_face(part.face)}"]
    lines += ["  \\segtrialfit{%", f"  \\begin{{tabular}}{{{_columns(part)}}}", "    \\toprule"]
    lines += [*_head(part), *_rows(part), "    \\bottomrule", "  \\end{tabular}}"]
    if part.table.notes:
        lines += ["  \\par\\smallskip\\footnotesize\\raggedright", *_notes(part)]
    return [*lines, f"\\end{{{name}}}"]


def _long(part: Part) -> list[str]:
    columns = _physical(part)
    again = f"    \\multicolumn{{{columns}}}{{@{{}}l}}{{\\tablename~\\thetable, continued}} \\\\"
    lines = ["\\begingroup", f"  {_face(part.face)}", "  \\setlength{\\LTcapwidth}{\\linewidth}"]
    lines += [f"  \\begin{{longtable}}{{{_columns(part)}}}", f"    {_caption(part)}{_label(part)} \\\\"]
    lines += ["    \\toprule", *_head(part), "    \\midrule", "    \\endfirsthead"]
    lines += [again, "    \\toprule", *_head(part), "    \\midrule", "    \\endhead"]
    lines += ["    \\bottomrule", "    \\endfoot", *_rows(part, first_rule=False), "  \\end{longtable}"]
    if part.table.notes:
        lines += ["  \\noindent\\footnotesize\\raggedright", *_notes(part)]
    return [*lines, "\\endgroup"]


def _caption(part: Part) -> str:
    title = prose(part.table.title)
    text = f" {prose(part.table.caption)}" if part.table.caption and part.number == 1 else ""
    which = f" (part {part.number} of {part.of})" if part.of > 1 else ""
    return f"\\caption[{{{title}{which}}}]{{{title}{which}.{text}}}"


def _label(part: Part) -> str:
    more = f":{part.number}" if part.number > 1 else ""
    return f"\\label{{{label(part.table.name)}{more}}}"


def _face(face: Face) -> str:
    return f"{face.command}\\setlength{{\\tabcolsep}}{{{face.space:g}pt}}"


def _notes(part: Part) -> list[str]:
    return [f"  \\textsuperscript{{{escape(mark)}}} {prose(text)}\\par" for mark, text in part.table.notes]


def _physical(part: Part) -> int:
    return sum(2 if slot.paired else 1 for slot in part.slots)


def _columns(part: Part) -> str:
    return "@{}" + "".join(_column(slot, part.face) for slot in part.slots) + "@{}"


def _column(slot: Slot, face: Face) -> str:
    if slot.wrapped is not None:
        return f">{{\\raggedright\\arraybackslash}}p{{{face.ratio * slot.wrapped:.1f}pt}}"
    kind = "r" if slot.numeric else "l"
    if slot.number is not None:
        kind = f"S[table-format={slot.number},detect-weight,retain-explicit-plus]"
    between = "" if slot.starred else "\\ "
    return f"{kind}@{{{between}}}l" if slot.paired else kind


def _head(part: Part) -> list[str]:
    found = [_heading(column, slot) for column, slot in zip(part.table.columns, part.slots, strict=True)]
    return [_line(found)]


def _heading(column: Column, slot: Slot) -> str:
    if slot.wrapped is not None:
        return escape(column.title)
    side = "c" if slot.paired else "r" if slot.numeric else "l"
    text = escape(slot.head[0])
    if len(slot.head) > 1:
        stack = " \\\\ ".join(_first(escape(line)) for line in slot.head)
        text = f"{{\\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stack}\\end{{tabular}}}}"
    if slot.paired:
        return f"\\multicolumn{{2}}{{c}}{{{text}}}"
    return f"{{{text}}}" if slot.number is not None else text


def _rows(part: Part, first_rule: bool = True) -> list[str]:
    lines = []
    for place, (group, rows) in enumerate(part.table.groups):
        if place or first_rule:
            lines.append("    \\midrule")
        if group:
            lines.append(f"    {_group(group, part)} \\\\")
        lines += [_row(row, part) for row in rows]
    return lines


def _group(name: str, part: Part) -> str:
    kind = "l"
    if group_is_wide(name, part):
        room = sum(slot.taken for slot in part.slots) * part.face.ratio
        kind = f"p{{{room + 2 * part.face.space * (len(part.slots) - 1):.1f}pt}}"
    return f"\\multicolumn{{{_physical(part)}}}{{@{{}}{kind}@{{}}}}{{\\textit{{{escape(name)}}}}}"


def _row(row: Row, part: Part) -> str:
    return _line([_cell(cell, slot) for cell, slot in zip(row.cells, part.slots, strict=True)])


def _line(cells: list[str]) -> str:
    return f"    {_first(' & '.join(cells))} \\\\"


def _first(text: str) -> str:
    """Return the start of a row, where a star would belong to the end of the row before."""
    return "{}" + text if text.startswith("*") else text


def _cell(cell: Cell, slot: Slot) -> str:
    notes = f"\\textsuperscript{{{escape(', '.join(cell.notes))}}}" if cell.notes else ""
    star = "$^\\star$" if "best" in cell.marks else ""
    if slot.paired:
        if slot.starred:
            star = f"\\makebox[{STAR:g}pt][l]{{{star}}}"
        return f"{_aligned(cell, slot)} & {star}{notes}{escape(cell.small)}"
    if slot.number is not None:
        return _aligned(cell, slot)
    write = breakable if slot.wrapped is not None else escape
    text = f"\\textbf{{{write(cell.text)}}}" if is_bold(cell) and cell.text else write(cell.text)
    small = f" {write(cell.small)}" if cell.small else ""
    return f"{text}{star}{small}{notes}"


def _aligned(cell: Cell, slot: Slot) -> str:
    text = escape(cell.text)
    if slot.number is None:
        return f"\\textbf{{{text}}}" if is_bold(cell) and text else text
    if NUMBER.fullmatch(cell.text):
        number = cell.text.replace("−", "-")
        return f"\\bfseries {number}" if is_bold(cell) else number
    # Braces keep siunitx from reading it as a number.
    return f"{{{text}}}"
