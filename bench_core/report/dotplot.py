"""Dot plots: one row per model, one dot per fold, a bar at the mean; faint lines follow a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from bench_core.report import svg

WIDTH = 360.0
ROW = 25.0
GUTTER = 118.0
VALUE = 44.0
JOINED = 6


@dataclass(frozen=True)
class DotRow:
    """One row of dots."""

    label: str
    series: int
    """Color and shape."""
    points: tuple[tuple[int, float], ...]
    """Fold and value, in the unit of the axis."""


def dot_plot(title: str, axis: str, rows: Sequence[DotRow], zero: bool = False, digits: int = 1) -> str:
    """Return the plot; `zero` draws a line at 0, keeps it in view and signs the means.

    Without `zero`, equal folds of a few rows are connected: many rows would only tangle.
    """
    values = [value for row in rows for _, value in row.points] + ([0.0] if zero else [])
    low, high = svg.span(values)
    bottom = 8 + ROW * len(rows)
    scale = svg.Scale(low, high, GUTTER, WIDTH - VALUE)
    ticks = scale.ticks(4)
    parts = [
        svg.tag("line", x1=scale(tick), x2=scale(tick), y1=4, y2=bottom, class_="grid") for tick in ticks
    ]
    parts += [
        svg.text(svg.tick_label(tick, ticks), scale(tick), bottom + 14, "tick", "middle") for tick in ticks
    ]
    parts.append(svg.text(axis, (GUTTER + WIDTH - VALUE) / 2, bottom + 30, "axis", "middle"))
    if zero:
        parts.append(svg.tag("line", x1=scale(0), x2=scale(0), y1=4, y2=bottom, class_="zero"))
    if not zero and len(rows) <= JOINED:
        parts += _threads(rows, scale)
    for position, row in enumerate(rows):
        parts.append(_row(row, 8 + ROW * (position + 0.5), scale, digits, signed=zero))
    spoken = "; ".join(_spoken(row, digits) for row in rows)
    return svg.chart(title, spoken, WIDTH, bottom + 36, *parts)


def _row(row: DotRow, y: float, scale: svg.Scale, digits: int, signed: bool) -> str:
    color = svg.series_class(row.series)
    label = svg.fit(row.label, 19)
    name = svg.tag(
        "text",
        escape(label),
        svg.tag("title", escape(row.label)),
        x=GUTTER - 10,
        y=y + 4,
        class_="label",
        text_anchor="end",
    )
    if not row.points:
        return name + svg.text("no result", GUTTER + 4, y + 4, "tick")
    mean = fmean(value for _, value in row.points)
    dots = "".join(
        svg.marker(
            row.series,
            scale(value),
            y,
            3.6,
            f"dot {color}",
            f"{row.label}, fold {fold}: {value:.{digits}f}",
            {"model": row.label, "fold": fold, "value": value},
        )
        for fold, value in row.points
    )
    bar = svg.tag("line", x1=scale(mean), x2=scale(mean), y1=y - 9, y2=y + 9, class_=f"meanbar {color}")
    shown = f"{mean:+.{digits}f}" if signed else f"{mean:.{digits}f}"
    if signed and not any(value for _, value in row.points):
        shown = "0"  # Not one that rounds to zero.
    return name + bar + dots + svg.text(shown.replace("-", "−"), WIDTH - 4, y + 4, "value", "end")


def _threads(rows: Sequence[DotRow], scale: svg.Scale) -> list[str]:
    places: dict[int, list[tuple[float, float]]] = {}
    for position, row in enumerate(rows):
        for fold, value in row.points:
            places.setdefault(fold, []).append((scale(value), 8 + ROW * (position + 0.5)))
    return [svg.path(points, "thread") for points in places.values() if len(points) > 1]


def _spoken(row: DotRow, digits: int) -> str:
    if not row.points:
        return f"{row.label} no result"
    mean = fmean(value for _, value in row.points)
    low, high = min(value for _, value in row.points), max(value for _, value in row.points)
    return f"{row.label} mean {mean:.{digits}f}, folds {low:.{digits}f} to {high:.{digits}f}"
