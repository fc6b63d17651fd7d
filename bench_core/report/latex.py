"""Tables as LaTeX with booktabs rules, to be \\input into a paper."""

from __future__ import annotations

from bench_core.report.tables import Cell, Table
from bench_core.text import visible_name

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "—": "---",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "…": r"\dots{}",
    "★": r"$\star$",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\u00a0": "~",
}


def to_latex(table: Table) -> str:
    """Return a `table` environment; needs \\usepackage{booktabs}. Best values are bold, the best starred."""
    width = len(table.columns)
    align = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escape(_sentence(table))}}}",
        f"  \\label{{tab:{_label(table.name)}}}",
        f"  \\begin{{tabular}}{{{align}}}",
        "    \\toprule",
        f"    {' & '.join(escape(column.title) for column in table.columns)} \\\\",
    ]
    for group, rows in table.groups:
        lines.append("    \\midrule")
        if group:
            lines.append(f"    \\multicolumn{{{width}}}{{l}}{{\\textit{{{escape(group)}}}}} \\\\")
        lines += [f"    {' & '.join(_cell(cell) for cell in row.cells)} \\\\" for row in rows]
    lines += ["    \\bottomrule", "  \\end{tabular}"]
    if table.notes:
        lines += ["  \\par\\smallskip\\footnotesize\\raggedright"]
        lines += [f"  \\textsuperscript{{{escape(mark)}}} {escape(text)}\\par" for mark, text in table.notes]
    lines.append("\\end{table}")
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(_ESCAPES.get(char, char) for char in visible_name(text.replace("\n", " ")))


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if "family" in cell.marks or "chosen" in cell.marks:
        text = f"\\textbf{{{text}}}"
    if "best" in cell.marks:
        text += "$^\\star$"
    if cell.small:
        text += f" {escape(cell.small)}"
    if cell.notes:
        text += f"\\textsuperscript{{{escape(', '.join(cell.notes))}}}"
    return text


def _sentence(table: Table) -> str:
    return f"{table.title}. {table.caption}" if table.caption else f"{table.title}."


def _label(name: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in name)
