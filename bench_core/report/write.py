"""A report on disk: the page, and every table in every format that was asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench_core.errors import PluginError, StoreError
from bench_core.report.compose import Report
from bench_core.report.delimited import to_csv
from bench_core.report.folder import RECORD, Origin, check_folder, record
from bench_core.report.latex.paper import Paper
from bench_core.report.latex.render import to_latex
from bench_core.report.markdown import to_markdown
from bench_core.report.numbers import NAME, numbers_csv, numbers_of, numbers_tex
from bench_core.report.page import to_folder, to_html
from bench_core.report.tables import Table

FORMATS = ("html", "csv", "markdown", "latex")
PAGE = "report.html"
IMAGES = "images"
_PICTURE = re.compile(r"[0-9]+-[0-9]+\.(jpg|png)")
ARTICLE = Paper()
_SUFFIXES = {"csv": "csv", "markdown": "md", "latex": "tex"}


def write_report(
    report: Report,
    folder: Path,
    formats: Sequence[str] = FORMATS,
    *,
    origin: Origin | None = None,
    force: bool = False,
    paper: Paper = ARTICLE,
    beside: bool = False,
) -> tuple[Path, ...]:
    """Write the chosen formats and return the files; equal evidence gives equal bytes.

    report.html lies in `folder`, tables in `folder`/tables, and beside them whose they are (`origin`);
    `paper` says for what page LaTeX is set. With `beside`, pictures of single images are files in
    `folder`/images and no part of the page. Raises StoreError where it cannot be written, or, without
    `force`, where another study's report lies; LatexOptionError for columns that no table has.
    """
    if origin is not None and not force:
        check_folder(folder, origin)
    if "latex" in formats:
        paper.check(report.tables)
    renders: dict[str, Callable[[Table], str]] = {
        "csv": to_csv,
        "markdown": to_markdown,
        "latex": partial(to_latex, paper=paper),
    }
    contents: dict[Path, str | bytes] = {}
    if "html" in formats and beside:
        page, images = to_folder(report, IMAGES)
        contents.update({folder / IMAGES / name: content for name, content in images.items()})
        contents[folder / PAGE] = page
        _remove_others(folder / IMAGES, images)
    elif "html" in formats:
        contents[folder / PAGE] = to_html(report)
    for name in FORMATS[1:]:
        if name in formats:
            for table in report.tables:
                contents[folder / "tables" / f"{table.name}.{_SUFFIXES[name]}"] = renders[name](table)
    if "latex" in formats:
        contents |= _numbers(report.tables, folder / "tables")
    for path, content in contents.items():
        _write(path, content)
    if origin is not None:
        _write(folder / RECORD, record(origin))
    return tuple(contents)


def _numbers(tables: Sequence[Table], folder: Path) -> dict[Path, str]:
    numbers = numbers_of(tables)
    if any(table.name.lower() == NAME for table in tables):
        raise PluginError(
            f"a table of the report is called {NAME!r}",
            cause="the file of all numbers has this name",
            fix="give the table another name, or leave latex out of --format",
        )
    return {folder / f"{NAME}.tex": numbers_tex(numbers), folder / f"{NAME}.csv": numbers_csv(numbers)}


def _remove_others(folder: Path, images: Mapping[str, bytes]) -> None:
    """Remove the pictures of an earlier report, known by their names."""
    with suppress(OSError):
        for path in folder.iterdir():
            if _PICTURE.fullmatch(path.name) and path.name not in images:
                path.unlink()


def _write(path: Path, content: str | bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content if isinstance(content, bytes) else content.encode())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StoreError(
            "cannot write the report",
            place=str(path),
            cause=str(error.strerror or error),
            fix="choose another folder with --out",
        ) from error
