"""Level plots: one row per model, in it one marker with its interval for each level of an attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench_core.report import svg
from bench_core.report.dotplot import GUTTER, WIDTH

_STEP = 9.0
_GAP = 10.0
_MARGIN = 12.0


@dataclass(frozen=True)
class LevelPoint:
    """One level of one model, in the unit of the axis."""

    series: int
    """Place of the level: its color and shape."""
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    """Ends of the interval; None where there is none."""


@dataclass(frozen=True)
class LevelRow:
    """One model."""

    label: str
    points: tuple[LevelPoint, ...]


def level_plot(title: str, axis: str, rows: Sequence[LevelRow], digits: int = 1) -> str:
    """Return the plot."""
    ends = [
        end
        for row in rows
        for point in row.points
        for end in (point.low, point.value, point.high)
        if end is not None
    ]
    heights = [_STEP * max(len(row.points), 2) + _GAP for row in rows]
    bottom = 4 + sum(heights)
    low, high = svg.span(ends)
    scale = svg.Scale(low, high, GUTTER, WIDTH - _MARGIN)
    ticks = scale.ticks(4)
    parts = [
        svg.tag("line", x1=scale(tick), x2=scale(tick), y1=4, y2=bottom, class_="grid") for tick in ticks
    ]
    parts += [
        svg.text(svg.tick_label(tick, ticks), scale(tick), bottom + 14, "tick", "middle") for tick in ticks
    ]
    parts.append(svg.text(axis, (GUTTER + WIDTH - _MARGIN) / 2, bottom + 30, "axis", "middle"))
    top = 4.0
    for row, height in zip(rows, heights, strict=True):
        parts.append(_row(row, top, height, scale, digits))
        top += height
    spoken = "; ".join(
        f"{row.label}: " + ", ".join(_spoken(point, digits) for point in row.points) for row in rows
    )
    return svg.chart(title, spoken, WIDTH, bottom + 36, *parts)


def _row(row: LevelRow, top: float, height: float, scale: svg.Scale, digits: int) -> str:
    parts = [
        svg.tag(
            "text",
            escape(svg.fit(row.label, 19)),
            svg.tag("title", escape(row.label)),
            x=GUTTER - 10,
            y=top + height / 2 + 4,
            class_="label",
            text_anchor="end",
        )
    ]
    start = top + (height - _STEP * (len(row.points) - 1)) / 2
    for place, point in enumerate(row.points):
        y, color = start + _STEP * place, svg.series_class(point.series)
        if point.low is not None and point.high is not None:
            parts.append(
                svg.tag(
                    "line", x1=scale(point.low), x2=scale(point.high), y1=y, y2=y, class_=f"whisker {color}"
                )
            )
        tip = f"{row.label}, {_spoken(point, digits)}"
        kept: svg.Row = {
            "model": row.label,
            "level": point.name,
            "value": point.value,
            "low": point.low,
            "high": point.high,
        }
        parts.append(svg.marker(point.series, scale(point.value), y, 3.4, f"dot {color}", tip, kept))
    return "".join(parts)


def _spoken(point: LevelPoint, digits: int) -> str:
    text = f"{point.name} {point.value:.{digits}f}"
    if point.low is not None and point.high is not None:
        text += f" (interval {point.low:.{digits}f} to {point.high:.{digits}f})"
    return text
