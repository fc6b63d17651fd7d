"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import Any

from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.report import blocks
from bench_core.report.compose import Report
from bench_core.report.delimited import texts
from bench_core.report.pictures import data_uri
from bench_core.report.script import policy, script
from bench_core.report.tables import Cell, Column, Table
from bench_core.text import table_cell, visible
from bench_core.version import __version__

_KINDS = {
    blocks.Prose: "prose",
    blocks.Callout: "callout",
    blocks.Figure: "figure",
    blocks.Gallery: "gallery",
    blocks.Comparison: "comparison",
    blocks.Explorer: "explorer",
    blocks.Swatches: "swatches",
    blocks.Facts: "facts",
    blocks.Code: "code",
    blocks.Details: "details",
    blocks.Choice: "choice",
    Table: "table",
}

FEW_NOTES = 4
"""As many are repeated under every table; more are folded up where they were shown before."""


def to_html(report: Report) -> str:
    """Return the page, all in one; raises MissingDependencyError without jinja2."""
    return _page(report, "")


def to_folder(report: Report, images: str = "images") -> tuple[str, Mapping[str, bytes]]:
    """Return a page whose images lie in a folder beside it, and these files by name.

    What is embedded is the same but for the pictures of single images, of which there may be thousands.
    """
    return _page(report, f"{images}/"), files_of(report)


def files_of(report: Report) -> Mapping[str, bytes]:
    """Return the files that the page's tools for single images name."""
    found: dict[str, bytes] = {}
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, blocks.Explorer):
                found.update(block.files)
    return found


def _page(report: Report, beside: str) -> str:
    environment = templates()
    environment.tests["kind"] = _is_kind
    environment.globals.update(shown_above=_Shown(), fields=_fields, names=_names, csv=table_cell)
    environment.globals.update(plain=_plain, chosen=_chosen, equal_outlines=_equal_outlines)
    environment.globals["explorer"] = partial(_explorer, beside=beside)
    code, style = script(), _template("style.css")
    allowed = policy(style, code, beside=bool(beside))
    return render(environment, "page.html.j2", report=report, script=code, policy=allowed)


def templates() -> Any:
    """Return the environment of the pages' templates, which escape all that they are given.

    Raises MissingDependencyError without jinja2.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "the HTML page needs the package 'jinja2', which is not installed",
            fix=f"{install_command('report')}, or leave html out: --format csv,markdown,latex",
        ) from error
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        bytecode_cache=_compiled(),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )


@cache
def _compiled() -> Any:
    """Return a memory of compiled templates: compiling them takes longer than filling a small page."""
    from jinja2 import BytecodeCache
    from jinja2.bccache import Bucket

    class Compiled(BytecodeCache):
        def __init__(self) -> None:
            self._found: dict[str, bytes] = {}

        def load_bytecode(self, bucket: Bucket) -> None:
            if bucket.key in self._found:
                bucket.bytecode_from_string(self._found[bucket.key])

        def dump_bytecode(self, bucket: Bucket) -> None:
            self._found[bucket.key] = bucket.bytecode_to_string()

    return Compiled()


def render(environment: Any, name: str, **values: Any) -> str:
    """Return the page that a template makes of these values."""
    text: str = environment.get_template(name).render(
        **values, version=__version__, style=_template("style.css")
    )
    # Escaping leaves control characters and marks that reverse text, in drawings, too.
    return visible(text)


class _Shown:
    """Tells whether a table's many notes can all be read above already, in the order of the page."""

    def __init__(self) -> None:
        self._notes: set[tuple[str, str]] = set()

    def __call__(self, notes: Sequence[tuple[str, str]]) -> bool:
        new = set(notes) - self._notes
        self._notes |= new
        return not new and len(notes) > FEW_NOTES


def _fields(cell: Cell) -> str:
    """Return a cell's values as its CSV file has them, as JSON: the page computes with nothing else."""
    return json.dumps(texts(cell), ensure_ascii=False)


def _names(column: Column) -> str:
    return json.dumps([table_cell(name) for name in column.names], ensure_ascii=False)


def _plain(facets: Mapping[str, str]) -> str:
    """Return facets as JSON, for the script that filters by them."""
    return json.dumps(_shown(facets), ensure_ascii=False)


def _chosen(block: blocks.Comparison, item: blocks.Compared | blocks.View) -> bool:
    """Say whether a row or view is shown before the reader chooses."""
    return all(block.filters.get(name, "") in ("", value) for name, value in item.facets.items())


def _equal_outlines(row: blocks.Compared) -> Mapping[int, int]:
    """Return of each view whose outline others have, too, which view is the first that has it."""
    places: dict[str, list[int]] = {}
    for place, view in enumerate(row.views):
        places.setdefault(view.outline, []).append(place)
    return {place: same[0] for same in places.values() if len(same) > 1 for place in same}


def _explorer(block: blocks.Explorer, beside: str) -> str:
    """Return the block's data as JSON that cannot end its element, each file as its content or its place."""
    named = {
        name: f"{beside}{name}" if beside else data_uri(content) for name, content in block.files.items()
    }
    data = json.dumps({**_shown(block.data), "files": named}, ensure_ascii=False, separators=(",", ":"))
    return data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shown(value: Any) -> Any:
    """Return plain data with every text made visible: the script puts it into the page as it is."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_kind(block: Any, kind: str) -> bool:
    return _KINDS.get(type(block)) == kind


def _template(name: str) -> str:
    return files("bench_core.report").joinpath("templates", name).read_text(encoding="utf-8")
