"""Reads our LaTeX as TeX would, as far as tables go, and compiles it where there is a TeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

CLASS = {False: "\\documentclass{article}", True: "\\documentclass[twocolumn]{article}"}
PACKAGES = "\\usepackage[T1]{fontenc}\n\\usepackage{array,booktabs,graphicx,longtable}\n"
_RULES = re.compile(r"\\(toprule|midrule|bottomrule|endfirsthead|endhead|endfoot|endlastfoot)\b")
_BEGIN = re.compile(r"\\begin\{(tabular|longtable)\}")


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of all rows; AssertionError where braces, columns or special characters are wrong."""
    body = "\n".join(line for line in text.splitlines() if not _is_definition(line)).replace("{%\n", "{\n")
    assert not re.search(r"(?<!\\)(\\\\)*%(?!\n)", body), "a comment swallows the rest of its line"
    plain = re.sub(r"\$[^$]*\$|\\[&%$#_{}\\,]", "", body)
    assert not re.search(r"[#_^<>|\"$`]", re.sub(r">\{\\raggedright", "", plain)), plain
    assert all(" " <= char <= "~" or "¡" <= char <= "ſ" or char == "\n" for char in body)
    _group(body, 0, len(body))
    rows: list[list[str]] = []
    place = 0
    while found := _BEGIN.search(body, place):
        start = _close(body, found.end())
        columns = _columns(body[found.end() + 1 : start])
        end = body.index(f"\\end{{{found[1]}}}", start)
        while body.count("\\begin{tabular}", start, end) > body.count("\\end{tabular}", start, end):
            end = body.index("\\end{tabular}", end + 1)
        for row in _split(_RULES.sub("", body[start + 1 : end]), "\\\\"):
            if not row.strip() or row.strip().startswith("\\caption"):
                continue
            assert not row.lstrip().startswith(("[", "*")), "the end of a row takes this for its own"
            cells = [cell.strip() for cell in _split(row, "&")]
            spans = [re.match(r"\\multicolumn\{(\d+)\}", cell) for cell in cells]
            assert sum(int(span[1]) if span else 1 for span in spans) == columns, row
            rows.append(cells)
        place = end
    return rows


def compiled(folder: Path, files: Mapping[str, str], body: str, two: bool = False, more: str = "") -> str:
    """Compile a paper with these files beside it and return its log; skips the test without a TeX."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    document = f"{CLASS[two]}\n{PACKAGES}{more}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (folder / "paper.tex").write_text(document, encoding="utf-8")
    for _ in range(3):  # longtable learns its widths run by run
        subprocess.run(
            [program, "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"],
            cwd=folder,
            capture_output=True,
            timeout=120,
            check=False,
        )
    return (folder / "paper.log").read_text(encoding="utf-8", errors="replace")


def complaints(log: str) -> list[str]:
    """Return errors, lines too wide and floats too high of a log."""
    found = re.findall(r"^(?:! .*|Overfull \\hbox.*)|.*Float too large.*", log, re.MULTILINE)
    return [*found, *([] if "Output written on" in log else ["no output"])]


def _is_definition(line: str) -> bool:
    return line.startswith(("%", "\\providecommand", "\\DeclareRobustCommand"))


def _columns(spec: str) -> int:
    spec = re.sub(r"[@>]\{(?:[^{}]|\{[^{}]*\})*\}|\[[^]]*\]", "", spec)
    return len(re.sub(r"\{[^{}]*\}", "", spec))


def _split(text: str, mark: str) -> list[str]:
    parts, place, start = [], 0, 0
    while place < len(text):
        if text[place] == "{":
            place = _close(text, place) + 1
        elif text.startswith(mark, place):
            parts.append(text[start:place])
            place = start = place + len(mark)
        else:
            place += 2 if text[place] == "\\" else 1
    return [*parts, text[start:]]


def _close(text: str, place: int) -> int:
    return _group(text, place + 1, len(text))


def _group(text: str, place: int, end: int) -> int:
    """Return where the group that is open at `place` ends; the whole text is a group that ends with it."""
    opened = place > 0
    while place < end:
        if text[place] == "\\":
            place += 1
        elif text[place] == "{":
            place = _close(text, place)
        elif text[place] == "}":
            assert opened, "a brace closes nothing"
            return place
        place += 1
    assert not opened, "a brace is not closed"
    return end
