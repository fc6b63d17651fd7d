"""From evidence to a report: the parts that the spec picks, in its order, with completed options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.declarations import resolve_entry
from bench_core.errors import BenchError, PluginError
from bench_core.files.paths import file_name_mistake
from bench_core.options import complete_options
from bench_core.plugins.registry import Registry
from bench_core.report.blocks import Callout, Section, tables_of
from bench_core.report.status import headline, status
from bench_core.report.tables import Table
from bench_core.text import visible_name


@dataclass(frozen=True)
class Report:
    """A report before it takes a format."""

    name: str
    description: str
    headline: str
    """The study's state in a few words."""
    complete: bool
    status: tuple[Callout, ...]
    sections: tuple[Section, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables of all sections; PluginError where two share a file name, or one names no file."""
        tables = tuple(table for section in self.sections for table in tables_of(section.blocks))
        seen: set[str] = set()
        for table in tables:
            mistake = file_name_mistake(table.name)
            if mistake is not None:
                raise PluginError(
                    f"a table of the report is called {visible_name(table.name)[:100]!r}, not a file name",
                    cause=mistake,
                    fix="give the table a plain name, such as my-table",
                )
            # Some file systems do not tell large letters from small ones.
            if table.name.lower() in seen:
                raise PluginError(
                    f"two tables of the report are called {table.name!r}",
                    cause="a part is listed twice with the same options, or two parts share a name",
                    fix="list each part once under `analyses:`",
                )
            seen.add(table.name.lower())
        return tables


class ReportError(BenchError):
    """A report that cannot be composed from this spec."""

    exit_code = 1


def compose(
    evidence: Evidence, registry: Registry, asked: Mapping[str, Mapping[str, Any]] | None = None
) -> Report:
    """Return the report, without the parts that nobody asked for and that have nothing to say.

    `asked` are options of parts, by the part's name, that go before the spec's. Raises UnknownNameError,
    ReportError or PluginError naming the part that failed."""
    entries = evidence.spec.analyses
    wanted = [(entry.name, entry.options) for entry in entries] if entries is not None else None
    if wanted is None:
        wanted = [(name, {}) for name in registry.analyses]
    sections = []
    for name, options in wanted:
        analysis = registry.analysis(name)
        place = f"analyses: {name}"
        try:
            completed = complete_options(analysis.options, {**options, **(asked or {}).get(name, {})})
        except ValueError as error:
            raise ReportError(str(error), place=place) from error
        section = resolve_entry(analysis.section)(evidence, completed)
        if not isinstance(section, Section):
            raise PluginError(f"the part returned {type(section).__name__} instead of a Section", place=place)
        if section.blocks or entries is not None:
            sections.append(section)
    return Report(
        name=evidence.spec.name,
        description=evidence.spec.description,
        headline=headline(evidence),
        complete=evidence.complete,
        status=status(evidence),
        sections=tuple(sections),
    )
