"""Scores of models against the severity of one corruption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench_core.report import svg

WIDTH, HEIGHT = 300.0, 214.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, 12.0, 10.0, 40.0


@dataclass(frozen=True)
class SeverityPoint:
    """A model's score at one severity, 0 of clean images, as printed; NaN where it is undefined."""

    severity: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SeveritySeries:
    """One model's scores, by severity."""

    label: str
    index: int
    """Color and dash."""
    points: tuple[SeverityPoint, ...]


def severity_plot(
    title: str, axis: str, kind: str, series: Sequence[SeveritySeries], ends: tuple[float, float]
) -> str:
    """Return lines over severity with the intervals of their points; `ends` are those of the value axis."""
    severities = sorted({point.severity for item in series for point in item.points})
    x = svg.Scale(-0.3, max(severities, default=1) + 0.3, _LEFT, WIDTH - _RIGHT)
    y = svg.Scale(*ends, HEIGHT - _BOTTOM, _TOP)
    parts = _frame(x, y, axis, severities)
    # Models stand side by side at each severity, so that no interval hides another.
    step = min(0.07, 0.5 / max(len(series), 1))
    for place, item in enumerate(series):
        shift = (place - (len(series) - 1) / 2) * step
        parts += _series(item, shift, x, y, kind)
    spoken = "; ".join(
        f"{item.label}: "
        + ", ".join(
            f"{'clean' if point.severity == 0 else point.severity} {point.value:.1f}"
            for point in item.points
            if math.isfinite(point.value)
        )
        for item in series
    )
    return svg.chart(title, spoken, WIDTH, HEIGHT, *parts)


def _frame(x: svg.Scale, y: svg.Scale, axis: str, severities: Sequence[int]) -> list[str]:
    ticks = y.ticks(5)
    parts = [
        svg.tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y(tick), y2=y(tick), class_="grid") for tick in ticks
    ]
    parts += [svg.text(svg.tick_label(tick, ticks), _LEFT - 6, y(tick) + 4, "tick", "end") for tick in ticks]
    parts += [
        svg.text("clean" if each == 0 else str(each), x(each), HEIGHT - _BOTTOM + 15, "tick", "middle")
        for each in severities
    ]
    parts.append(svg.text("severity", (_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 7, "axis", "middle"))
    parts.append(svg.upright_axis(axis, 11, (_TOP + HEIGHT - _BOTTOM) / 2))
    return parts


def _series(item: SeveritySeries, shift: float, x: svg.Scale, y: svg.Scale, kind: str) -> list[str]:
    color = svg.series_class(item.index)
    shown = [point for point in item.points if math.isfinite(point.value)]
    places = [(x(point.severity + shift), y(point.value)) for point in shown]
    parts = [svg.path(places, f"mean {color}", svg.dash(item.index), item.label)] if places else []
    for point, (across, up) in zip(shown, places, strict=True):
        where = "clean" if point.severity == 0 else f"{kind}, severity {point.severity}"
        tip = f"{item.label}, {where}: {point.value:.1f}"
        if point.low is not None and point.high is not None:
            tip += f" ({point.low:.1f} to {point.high:.1f})"
            ends = {"x1": across, "x2": across, "y1": y(point.low), "y2": y(point.high)}
            parts.append(svg.tag("line", **ends, class_=f"whisker {color}"))
        row: svg.Row = {
            "model": item.label,
            "kind": kind,
            "severity": point.severity,
            "value": point.value,
            "low": point.low,
            "high": point.high,
        }
        parts.append(svg.marker(item.index, across, up, 2.8, f"dot {color}", tip, row))
    return parts
