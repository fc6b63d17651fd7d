"""Rank plots: one row per model, at each rank a marker whose area is the probability of that rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bench_core.report import svg
from bench_core.report.dotplot import GUTTER, ROW, VALUE, WIDTH

_LARGEST = 7.0
_LEAST = 0.005
"""Probabilities below it are not drawn."""
_LABELS = 12


@dataclass(frozen=True)
class RankRow:
    """One model's distribution over ranks."""

    label: str
    series: int
    """Color and shape."""
    chances: tuple[float, ...]
    """Probability of rank 1, 2, ..."""
    said: str
    """Its interval in words, for tooltips and screen readers."""


def rank_plot(title: str, rows: Sequence[RankRow]) -> str:
    """Return the plot; the best rank is on the left, the column on the right is the probability of it."""
    count = max(len(row.chances) for row in rows)
    bottom = 8 + ROW * len(rows)
    scale = svg.Scale(0.5, count + 0.5, GUTTER, WIDTH - VALUE)
    step = math.ceil(count / _LABELS)
    ranks = range(1, count + 1)
    parts = [
        svg.tag("line", x1=scale(rank), x2=scale(rank), y1=4, y2=bottom, class_="grid") for rank in ranks
    ]
    parts += [svg.text(str(rank), scale(rank), bottom + 14, "tick", "middle") for rank in ranks[::step]]
    parts.append(svg.text("rank", (GUTTER + WIDTH - VALUE) / 2, bottom + 30, "axis", "middle"))
    parts.append(svg.text("first", WIDTH - 4, bottom + 14, "tick", "end"))
    for position, row in enumerate(rows):
        parts.append(_row(row, 8 + ROW * (position + 0.5), scale))
    spoken = "; ".join(f"{row.label}: {row.said}" for row in rows)
    return svg.chart(title, spoken, WIDTH, bottom + 36, *parts)


def _row(row: RankRow, y: float, scale: svg.Scale) -> str:
    color = svg.series_class(row.series)
    name = svg.tag(
        "text",
        escape(svg.fit(row.label, 19)),
        svg.tag("title", escape(f"{row.label}: {row.said}")),
        x=GUTTER - 10,
        y=y + 4,
        class_="label",
        text_anchor="end",
    )
    width = min(_LARGEST, (scale(2) - scale(1)) / 2)
    dots = "".join(
        svg.marker(
            row.series,
            scale(rank),
            y,
            width * math.sqrt(chance),
            f"dot {color}",
            f"{row.label}, rank {rank}: {percent(chance)}",
            {"model": row.label, "rank": rank, "probability": chance},
        )
        for rank, chance in enumerate(row.chances, start=1)
        if chance >= _LEAST
    )
    return name + dots + svg.text(percent(row.chances[0]), WIDTH - 4, y + 4, "value", "end")


def percent(chance: float) -> str:
    """Return a probability without decimals, never as certain: resamples are finite in number."""
    if chance < _LEAST:
        return "< 1 %"
    return "> 99 %" if chance > 1 - _LEAST else f"{100 * chance:.0f} %"
