"""Scatter plots: one dot per image, what is known of it against its score."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench_core.report import svg

WIDTH = 360.0
_LEFT, _RIGHT, _TOP, _HEIGHT = 44.0, 12.0, 8.0, 190.0
_SKEWED = 50
"""From this ratio of the largest to the smallest positive value on, the axis is logarithmic."""


def scatter_plot(
    title: str, axes: tuple[str, str], points: Sequence[tuple[float, float]], series: int, digits: int = 1
) -> str:
    """Return the plot of finite points (x, y); `axes` are labels of x and y.

    Dots that fall on one place are drawn once, so that thousands of images stay small.
    """
    across, up = [x for x, _ in points], [y for _, y in points]
    log = bool(across) and min(across) > 0 and max(across) / min(across) >= _SKEWED
    place = math.log10 if log else float
    horizontal = svg.Scale(*svg.span([place(x) for x in across], 0.03), _LEFT, WIDTH - _RIGHT)
    vertical = svg.Scale(*svg.span(up, 0.04), _TOP + _HEIGHT, _TOP)
    bottom = _TOP + _HEIGHT
    parts = []
    ticks = vertical.ticks(4)
    for tick in ticks:
        parts.append(
            svg.tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=vertical(tick), y2=vertical(tick), class_="grid")
        )
        parts.append(svg.text(svg.tick_label(tick, ticks), _LEFT - 6, vertical(tick) + 4, "tick", "end"))
    marks = decades(horizontal) if log else horizontal.ticks(4)
    for mark in marks:
        label = f"{10**mark:g}" if log else svg.tick_label(mark, marks)
        parts.append(svg.text(label, horizontal(mark), bottom + 14, "tick", "middle"))
    parts.append(svg.text(axes[0], (_LEFT + WIDTH - _RIGHT) / 2, bottom + 30, "axis", "middle"))
    places = sorted({(round(horizontal(place(x))), round(vertical(y))) for x, y in points})
    dots = "".join(f"M{x} {y}h0" for x, y in places)
    if dots:
        parts.append(
            svg.tag(
                "path",
                d=dots,
                class_=f"whisker {svg.series_class(series)}",
                stroke_linecap="round",
                stroke_opacity=0.6,
            )
        )
    spoken = f"{len(points)} images, {axes[1]} against {axes[0]}"
    if points:
        spoken += f", from {min(up):.{digits}f} to {max(up):.{digits}f}"
    return svg.chart(title, spoken, WIDTH, bottom + 36, *parts)


def decades(scale: svg.Scale) -> list[float]:
    """Return the logarithms of 1, 2 and 5 times powers of ten in view, or of those powers where many are."""
    found = [
        math.log10(factor) + power
        for power in range(math.floor(scale.low), math.ceil(scale.high) + 1)
        for factor in (1, 2, 5)
        if scale.low <= math.log10(factor) + power <= scale.high
    ]
    powers = [value for value in found if value == round(value)]
    return powers if len(found) > 6 and len(powers) > 1 else found[:6]
