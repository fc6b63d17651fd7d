"""Forest plots: one difference with its interval per row, a line at zero, and the margin as a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench_core.report import svg
from bench_core.report.dotplot import GUTTER, ROW, VALUE, WIDTH


@dataclass(frozen=True)
class ForestRow:
    """One difference, in the unit of the axis."""

    label: str
    series: int
    """Color and shape."""
    value: float
    low: float | None = None
    high: float | None = None
    """Ends of its interval; None where there is none."""
    said: str = ""
    """The word for it, for tooltips and screen readers."""


def forest_plot(title: str, axis: str, rows: Sequence[ForestRow], margin: float, digits: int = 2) -> str:
    """Return the plot; the band reaches from -margin to +margin and is always in view."""
    ends = [end for row in rows for end in (row.low, row.value, row.high) if end is not None]
    low, high = svg.span([*ends, -margin, margin])
    bottom = 8 + ROW * len(rows)
    scale = svg.Scale(low, high, GUTTER, WIDTH - VALUE)
    ticks = scale.ticks(4)
    band = svg.tag(
        "rect", x=scale(-margin), y=4, width=scale(margin) - scale(-margin), height=bottom - 4, class_="band"
    )
    parts = [band]
    parts += [
        svg.tag("line", x1=scale(tick), x2=scale(tick), y1=4, y2=bottom, class_="grid") for tick in ticks
    ]
    parts += [
        svg.text(svg.tick_label(tick, ticks), scale(tick), bottom + 14, "tick", "middle") for tick in ticks
    ]
    parts.append(svg.text(axis, (GUTTER + WIDTH - VALUE) / 2, bottom + 30, "axis", "middle"))
    parts.append(svg.tag("line", x1=scale(0), x2=scale(0), y1=4, y2=bottom, class_="zero"))
    for position, row in enumerate(rows):
        parts.append(_row(row, 8 + ROW * (position + 0.5), scale, digits))
    return svg.chart(title, "; ".join(_spoken(row, digits) for row in rows), WIDTH, bottom + 36, *parts)


def _row(row: ForestRow, y: float, scale: svg.Scale, digits: int) -> str:
    color = svg.series_class(row.series)
    name = svg.tag(
        "text",
        escape(svg.fit(row.label, 19)),
        svg.tag("title", escape(row.label)),
        x=GUTTER - 10,
        y=y + 4,
        class_="label",
        text_anchor="end",
    )
    whisker = ""
    if row.low is not None and row.high is not None:
        whisker = svg.tag(
            "line", x1=scale(row.low), x2=scale(row.high), y1=y, y2=y, class_=f"whisker {color}"
        )
    numbers: svg.Row = {
        "model": row.label,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "verdict": row.said,
    }
    dot = svg.marker(row.series, scale(row.value), y, 4.0, f"dot {color}", _spoken(row, digits), numbers)
    shown = f"{row.value:+.{digits}f}".replace("-", "−") if row.value else "0"
    return name + whisker + dot + svg.text(shown, WIDTH - 4, y + 4, "value", "end")


def _spoken(row: ForestRow, digits: int) -> str:
    text = f"{row.label}: {row.value:+.{digits}f}"
    if row.low is not None and row.high is not None:
        text += f", interval {row.low:+.{digits}f} to {row.high:+.{digits}f}"
    return f"{text}, {row.said}" if row.said else text
