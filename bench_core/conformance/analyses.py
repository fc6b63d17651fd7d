"""The properties that a part of the report is tried for, in order."""

from __future__ import annotations

from bench_core.conformance import analysis_checks as checks
from bench_core.conformance.analysis_subject import AnalysisSubject, subject_of
from bench_core.conformance.declared import complete_declaration, light_to_load
from bench_core.conformance.properties import Finding, Property, judge

__all__ = ["PROPERTIES", "AnalysisSubject", "Finding", "Property", "judge", "subject_of"]

_ODD = "expect every list to be empty, and every score to be undefined"

PROPERTIES: tuple[Property[AnalysisSubject], ...] = (
    Property("the declaration is filled in", complete_declaration, "fill it in"),
    Property("it makes a section", checks.makes_a_section, "return a bench_core.report.blocks.Section"),
    Property("rows fit their columns", checks.tables_fit, "give a row one cell per column"),
    Property("every format is written", checks.all_formats, "see bench_core/report/blocks.py"),
    Property("values are finite or none", checks.plain_values),
    Property("the same results give the same bytes", checks.repeatable, "print no times, and sort sets"),
    Property("nothing else is written", checks.nothing_written, "return what is shown, and write no files"),
    Property("one model is enough", checks.copes_with("one model"), _ODD),
    Property("a cell may be missing", checks.copes_with("a missing cell"), _ODD),
    Property("a fold may be missing", checks.copes_with("a missing fold"), _ODD),
    Property("nothing may be finished", checks.copes_with("nothing"), _ODD),
    Property("names of others stay text", checks.escaped, "escape what comes from names"),
    Property("each choice of its options works", checks.each_option, "correct the option, or refuse it"),
    Property("loading it is light", light_to_load),
    Property("another process makes the same", checks.other_process, "sort sets, and use no hash() of text"),
)
"""All that is checked, cheap reasons to fail first."""
