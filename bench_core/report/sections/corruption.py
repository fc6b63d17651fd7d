"""Networks under corruptions of imaging: what is lost by kind and severity, and whose rank changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bench_core.analysis.corrupted import CorruptionSet, corruption_sets
from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.degraded import Degraded, Loss, Orders, degraded, orders
from bench_core.analysis.quantity import pooled
from bench_core.analysis.scores import board
from bench_core.declarations import Metric
from bench_core.metrics.corrupted import by_kind
from bench_core.metrics.scale import scale_of
from bench_core.report import names
from bench_core.report.blocks import Block, Details, Figure, Panel, Prose, Section
from bench_core.report.names import Footnotes, listed
from bench_core.report.panels import heading, line_keys, panel_groups, series_index
from bench_core.report.sections.corruption_orders import order_sentence, order_table, rank_table
from bench_core.report.sections.corruption_pictures import gallery
from bench_core.report.sections.corruption_tables import (
    classes_table,
    kinds_table,
    severities_table,
    summary_table,
    within,
    words_of,
)
from bench_core.report.severityplot import SeverityPoint, SeveritySeries, severity_plot

TITLE = "Under corruptions"


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return for each step and dataset: scores and losses, figures over severity, orders, and pictures."""
    metric = evidence.metrics[str(options["metric"])]
    settings = Settings(alpha=float(options["alpha"]), samples=int(options["samples"]))
    ranked = names.ordered(evidence, board(evidence, pooled(metric)))
    footnotes = Footnotes(evidence)
    blocks: list[Block] = []
    data = []
    for found in corruption_sets(evidence):
        losses = degraded(found, metric, settings)
        labels = [label for label in ranked if label in losses]
        kept = orders(found, losses, metric, settings)
        blocks.append(summary_table(evidence, found, losses, labels, kept, metric, settings, footnotes))
        blocks += _notes(evidence, found, kept, settings)
        blocks.append(kinds_table(evidence, found, losses, labels, metric, settings))
        if losses[labels[0]].classes:
            blocks.append(classes_table(evidence, found, losses, labels, metric, settings))
        blocks.append(_figure(evidence, found, losses, labels, metric))
        if kept is not None:
            blocks += [
                order_table(evidence, found, kept, settings),
                rank_table(evidence, found, kept, labels),
            ]
        title = f"{_where(evidence, found)}: every severity"
        blocks.append(Details(title, (severities_table(evidence, found, losses, labels, metric, settings),)))
        if options["pictures"]:
            blocks += gallery(evidence, found)
        data.append(_plain(found, losses, kept))
    lead = (
        "Finished networks predict their own test images once more, made worse in known ways. Nothing is "
        "trained."
    )
    known = {"sets": data} if data else {}
    return Section("corruption", TITLE, tuple(blocks), lead if blocks else "", known)


def _where(evidence: Evidence, found: CorruptionSet) -> str:
    return f"{evidence.dataset(found.dataset).title} ({found.step})"


def _notes(evidence: Evidence, found: CorruptionSet, kept: Orders | None, settings: Settings) -> list[Block]:
    texts = [order_sentence(kept, settings)] if kept is not None else []
    waiting = [
        f"{evidence.model(label).title} ({len(found.models.get(label, ()))}/{planned})"
        for label, planned in found.planned.items()
        if len(found.models.get(label, ())) < planned
    ]
    if waiting:
        texts.append(f"Not ranked, since jobs are missing: {listed(waiting)}.")
    return [Prose(tuple(text for text in texts if text))] if any(texts) else []


def _figure(
    evidence: Evidence,
    found: CorruptionSet,
    losses: Mapping[str, Degraded],
    labels: Sequence[str],
    metric: Metric,
) -> Figure:
    scale = scale_of(metric)
    lowest = min(
        (
            score.interval.low if score.interval is not None else score.mean
            for item in losses.values()
            for score in item.scores.values()
            if score.mean == score.mean
        ),
        default=0.0,
    )
    # One axis for all kinds: what is lost under one is compared with what is lost under another.
    ends = scale.factor * max(0.0, lowest - 0.05), scale.factor
    panels, shown = [], set()
    for kind, (group, members) in product(by_kind(found.conditions), panel_groups(evidence)):
        series = [
            SeveritySeries(
                evidence.model(label).title,
                series_index(evidence, label),
                _points(losses[label], kind, by_kind(found.conditions)[kind], scale.factor),
            )
            for label in labels
            if label in members
        ]
        if series:
            shown |= {label for label in labels if label in members}
            title = heading(words_of(kind), group)
            described = f"{metric.title} by severity of {title} on {evidence.dataset(found.dataset).title}"
            axis = f"{metric.title} ({scale.sign})"
            panels.append(Panel(title, severity_plot(described, axis, within(kind), series, ends)))
    return Figure(
        tuple(panels),
        line_keys(evidence, shown),
        f"{evidence.dataset(found.dataset).title}: pooled score, mean over folds, by severity; whiskers: "
        "intervals over groups of images. Clean images stand at the left of every panel.",
    )


def _points(
    model: Degraded, kind: str, severities: Sequence[int], factor: float
) -> tuple[SeverityPoint, ...]:
    points = []
    for severity in (0, *severities):
        score = model.clean if severity == 0 else model.scores[kind, severity]
        ends = score.interval
        points.append(
            SeverityPoint(
                severity,
                factor * score.mean,
                None if ends is None else factor * ends.low,
                None if ends is None else factor * ends.high,
            )
        )
    return tuple(points)


def _plain(found: CorruptionSet, losses: Mapping[str, Degraded], kept: Orders | None) -> dict[str, Any]:
    """Return plain data for programs; what is undefined is None."""
    return {
        "step": found.step,
        "dataset": found.dataset,
        "models": {
            label: {
                "clean": _number(item.clean.mean),
                "lost": _loss(item.overall),
                "kinds": {kind: _loss(each) for kind, each in item.kinds.items()},
            }
            for label, item in losses.items()
        },
        "order": None
        if kept is None
        else {
            "models": list(kept.models),
            "tau": _number(kept.kept_overall.tau),
            "kinds": {kind: _number(each.tau) for kind, each in kept.kept_kinds.items()},
        },
    }


def _loss(loss: Loss) -> dict[str, float | None]:
    ends = loss.interval
    return {
        "value": _number(loss.value),
        "low": None if ends is None else ends.low,
        "high": None if ends is None else ends.high,
    }


def _number(value: float) -> float | None:
    return value if value == value else None
