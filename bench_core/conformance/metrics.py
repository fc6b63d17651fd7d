"""The properties that a metric is tried for, in order."""

from __future__ import annotations

from bench_core.conformance import metric_checks as checks
from bench_core.conformance.declared import complete_declaration, light_to_load
from bench_core.conformance.metric_subject import MetricSubject, subject_of
from bench_core.conformance.properties import Finding, Property, judge

__all__ = ["PROPERTIES", "Finding", "MetricSubject", "Property", "judge", "subject_of"]

PROPERTIES: tuple[Property[MetricSubject], ...] = (
    Property("the declaration is filled in", complete_declaration, "fill it in"),
    Property(
        "one score per class, of its unit",
        checks.one_score_per_class,
        "return numbers [classes], or correct the declared unit",
    ),
    Property("equal maps score equally", checks.repeatable, "keep nothing between calls"),
    Property("a perfect prediction is best", checks.perfect_is_best, "correct `better`, or the function"),
    Property("errors count", checks.errors_count, "see whether the truth is used"),
    Property("empty and missed structures", checks.empty_and_missed),
    Property("deleting a structure never improves", checks.deleting_never_improves),
    Property(
        "moving a structure away never improves",
        checks.moving_away_never_improves,
        "measure from structure to structure, not from the image's edge",
    ),
    Property("mirrored images score alike", checks.mirrored),
    Property("classes are treated alike", checks.classes_alike, "compute each class on its own"),
    Property("ignored pixels count nowhere", checks.ignored, "leave them out of both structures"),
    Property("lengths follow the spacing", checks.lengths, "multiply rows and columns by the spacing"),
    Property("counts of every shape are taken", checks.sums, "compute on the last axis: counts[..., 0]"),
    Property("loading it is light", light_to_load),
)
"""All that is checked, cheap reasons to fail first."""
