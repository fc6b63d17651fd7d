"""What every part of a report owes: a function a property."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import get_args

from bench_core.conformance.analysis_subject import AnalysisSubject
from bench_core.conformance.declared import each_choice
from bench_core.conformance.elsewhere import ask
from bench_core.conformance.ground import content
from bench_core.conformance.properties import NotApplicable, Wrong, in_words, line_of
from bench_core.conformance.world import PROBE
from bench_core.errors import BenchError
from bench_core.report.blocks import Block, Choice, Details, Section, tables_of
from bench_core.report.compose import Report
from bench_core.report.write import PAGE

_ELSEWHERE = re.compile(r"^\s*(https?:|ftp:|file:|//)", re.IGNORECASE)
_NAN = re.compile(r"(?<![\w.-])nan(?![\w-])")
_LOADING = {"src", "srcset", "xlink:href", "data", "poster"}
_ACTIVE = {"script", "iframe", "object", "embed", "form", "meta", "base", "link"}


def makes_a_section(subject: AnalysisSubject) -> None:
    """It returns a Section that is called after it, and has a title."""
    for section in _sections(subject, "whole"):
        if section.name != subject.declared.name:
            raise Wrong(f"its section is called {section.name!r}", fix=f"write {subject.declared.name!r}")
        if not section.title.strip():
            raise Wrong("its section has no title")
        for block in _blocks((section,)):
            if not isinstance(block, get_args(Block)):
                raise Wrong(f"a block of its section is {type(block).__name__}")


def tables_fit(subject: AnalysisSubject) -> None:
    """Rows have as many cells as there are columns, and cells as many values as their column has fields."""
    for section in _sections(subject, "whole"):
        for table in tables_of(section.blocks):
            names = [name for column in table.columns for name in column.names]
            if len(set(names)) != len(names):
                raise Wrong(f"table {table.name} has two columns of one name")
            for number, row in enumerate(table.rows, start=1):
                if len(row.cells) != len(table.columns):
                    raise Wrong(f"row {number} of table {table.name} has {len(row.cells)} cells")
                for column, cell in zip(table.columns, row.cells, strict=True):
                    if cell.values and len(cell.values) != len(column.fields):
                        raise Wrong(
                            f"row {number} of table {table.name} has {len(cell.values)} values for "
                            f"column {column.key!r}, which has {len(column.fields)} fields"
                        )


def plain_values(subject: AnalysisSubject) -> None:
    """What programs read of a cell is a finite number, text, or None where there is none."""
    for name in ("whole", "hostile"):
        for section in _sections(subject, name):
            for table in tables_of(section.blocks):
                for row in table.rows:
                    for cell in row.cells:
                        for value in cell.values:
                            _check_value(table.name, value)


def _check_value(table: str, value: object) -> None:
    if value is None or isinstance(value, str):
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Wrong(
            f"a cell of table {table} holds {type(value).__name__}", fix="make it a float, int or text"
        )
    if not math.isfinite(value):
        raise Wrong(f"a cell of table {table} holds {value}", fix="give None where there is no number")


def all_formats(subject: AnalysisSubject) -> None:
    """HTML, Markdown, CSV and LaTeX can be written of it."""
    if PAGE not in subject.written(subject.report("whole")):
        raise Wrong("no page is written")


def repeatable(subject: AnalysisSubject) -> None:
    """The same evidence gives the same bytes."""
    first, again = (subject.written(subject.report("whole")) for _ in range(2))
    for name, text in first.items():
        if again.get(name) != text:
            raise Wrong(f"made twice of the same results, {name} differs")


def nothing_written(subject: AnalysisSubject) -> None:
    """It writes nothing itself, neither into the store nor into the working folder."""
    store = subject.study("whole").store.path
    before = content(store)
    subject.report("whole")
    after = content(store)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if changed:
        raise Wrong("it writes into the store", place=str(store / min(changed)))
    left = [path.name for path in subject.working.iterdir()]
    if left:
        raise Wrong(f"it writes {left[0]} into the folder that the program is started in")


def escaped(subject: AnalysisSubject) -> None:
    """Names of images, classes, attributes and models add no element to the page, and load nothing."""
    report = subject.report("hostile")
    page = _Elements(subject.written(report)[PAGE])
    if PROBE in page.names:
        raise Wrong("a name becomes an element of the page", fix="escape it: html.escape(text)")
    if page.loaded:
        raise Wrong(f"the page loads {page.loaded[0]!r}", fix="put what is shown into the page")
    for block in _blocks(report.sections):
        for panel in getattr(block, "panels", ()):
            drawn = _Elements(panel.svg)
            active = [*drawn.handlers, *(name for name in drawn.names if name in _ACTIVE)]
            if active:
                raise Wrong(f"a chart holds {active[0]}", fix="draw with bench_core.report.svg")


def each_option(subject: AnalysisSubject) -> None:
    """Each choice of its options works, or is refused in words."""
    names = {"metric": tuple(subject.registry.metrics)}
    evidence = subject.study("whole").evidence()
    for given in each_choice(subject.declared.options, names):
        if not given:
            continue
        try:
            subject.of(evidence, given)
        except BenchError:
            continue
        except Exception as error:
            raise Wrong(f"with {given}: {in_words(error)}", place=line_of(error, subject.place)) from error


def copes_with(name: str) -> Callable[[AnalysisSubject], None]:
    """Return a check that the part can be made of a study in which something is odd."""

    def check(subject: AnalysisSubject) -> None:
        page = _Elements(subject.written(subject.report(name))[PAGE])
        if any(_NAN.search(text) for text in page.texts):
            raise Wrong("it prints nan", fix="print a dash where there is no number")

    return check


def other_process(subject: AnalysisSubject) -> None:
    """Another process makes the same bytes of the same results."""
    if subject.origin is None:
        raise NotApplicable("no plugin declares it")
    study = subject.study("whole")
    told = ask("section", subject.origin, options=dict(subject.options), study=str(study.store.path.parent))
    mine = subject.written(subject.report("whole"))
    for name, text in mine.items():
        if told["files"].get(name) != text:
            raise Wrong(f"in another process {name} differs")


def _sections(subject: AnalysisSubject, name: str) -> tuple[Section, ...]:
    report: Report = subject.report(name)
    return report.sections


def _blocks(sections: tuple[Section, ...]) -> Iterator[Block]:
    waiting: list[Block] = [block for section in sections for block in section.blocks]
    while waiting:
        block = waiting.pop()
        yield block
        if isinstance(block, Details):
            waiting += block.blocks
        elif isinstance(block, Choice):
            waiting += [inner for _, blocks in block.options for inner in blocks]


class _Elements(HTMLParser):
    """The elements of a page, what they load, and what they run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        """Note what is written."""
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.names.append(tag)
        for name, value in attrs:
            loads = name in _LOADING or (name == "href" and tag != "a")
            if loads and _ELSEWHERE.match(value or ""):
                self.loaded.append(str(value))
            if name.startswith("on"):
                self.handlers.append(name)
