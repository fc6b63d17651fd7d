"""The properties that a step, or a runner with a procedure of its own, is tried for, in order."""

from __future__ import annotations

from bench_core.conformance import work_checks as checks
from bench_core.conformance.declared import complete_declaration, light_to_load
from bench_core.conformance.properties import Finding, Property, judge
from bench_core.conformance.work_subject import WorkSubject, procedure_subject, step_subject

__all__ = [
    "PROPERTIES",
    "Finding",
    "Property",
    "WorkSubject",
    "judge",
    "procedure_subject",
    "step_subject",
]

PROPERTIES: tuple[Property[WorkSubject], ...] = (
    Property("the declaration is filled in", complete_declaration, "fill it in"),
    Property(
        "options are resolved to plain data", checks.options_resolved, "return numbers, texts and lists"
    ),
    Property("it runs on a small study", checks.runs, "correct the line that fails"),
    Property("it leaves something", checks.leaves_something),
    Property("values are finite", checks.finite_values),
    Property(
        "nothing else is written",
        checks.nothing_else_changed,
        "write to session.artifact(name) and session.records(name, rows) only",
    ),
    Property("run again it leaves the same", checks.repeatable, "draw from session.seed, and sort sets"),
    Property(
        "cut off and run again it leaves the same",
        checks.cut_off,
        "write each file anew, whatever an earlier attempt has left",
    ),
    Property(
        "masks of tested images stay unseen",
        checks.blind,
        "make label maps from images alone: session.images, session.predict",
    ),
    Property("progress stays within its total", checks.progress, "call session.progress(done, total)"),
    Property("other images are taken", checks.other_images, "or raise a BenchError that says which it takes"),
    Property("report and verify read it", checks.readable, "see docs/steps.md on what a job may leave"),
    Property("loading it is light", light_to_load),
    Property("another process leaves the same", checks.other_process, "sort sets, and use no hash() of text"),
)
"""All that is checked, cheap reasons to fail first."""
