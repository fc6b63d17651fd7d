"""Numbers of a network's layers against their depth: where evidence becomes the prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench_core.report import svg

WIDTH, HEIGHT = 360.0, 250.0
_ASIDE = 3.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 12.0, 10.0, 42.0


@dataclass(frozen=True)
class LayerPoint:
    """One layer of a network."""

    layer: str
    place: float
    """0 at the first layer that was looked at, 1 at the last."""
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DepthSeries:
    """One model's layers, from the input on."""

    label: str
    index: int
    """Color and dash."""
    points: tuple[LayerPoint, ...]


def depth_plot(
    title: str,
    axis: str,
    series: Sequence[DepthSeries],
    line: tuple[float, str],
    ends: tuple[float | None, float | None] = (None, None),
) -> str:
    """Return values over depth with intervals, and a level that readers compare with, under its name.

    `ends` are the smallest and largest value that the axis shows.
    """
    level, words = line
    values = [
        value
        for item in series
        for point in item.points
        for value in (point.value, point.low, point.high)
        if value is not None
    ]
    low, high = svg.span([*values, level], low=ends[0], high=ends[1])
    x = svg.Scale(-0.04, 1.04, _LEFT, WIDTH - _RIGHT)
    y = svg.Scale(low, high, HEIGHT - _BOTTOM, _TOP)
    parts = [*_frame(x, y, axis)]
    parts.append(svg.tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y(level), y2=y(level), class_="zero"))
    parts.append(svg.text(words, WIDTH - _RIGHT, y(level) - 4, "tick", "end"))
    for number, item in enumerate(series):
        # Beside each other: intervals of several models at one depth would hide each other.
        aside = _ASIDE * (number - (len(series) - 1) / 2)
        parts += _series(item, lambda place, aside=aside: x(place) + aside, y, axis)  # type: ignore[misc]
    spoken = "; ".join(
        f"{item.label}: "
        + ", ".join(
            f"{point.layer} {point.value:.2f}" for point in item.points if not math.isnan(point.value)
        )
        for item in series
    )
    return svg.chart(title, spoken, WIDTH, HEIGHT, *parts)


def _frame(x: svg.Scale, y: svg.Scale, axis: str) -> list[str]:
    ticks = y.ticks(5)
    parts = [
        svg.tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y(tick), y2=y(tick), class_="grid") for tick in ticks
    ]
    parts += [svg.text(svg.tick_label(tick, ticks), _LEFT - 6, y(tick) + 4, "tick", "end") for tick in ticks]
    bottom = HEIGHT - _BOTTOM + 15
    parts.append(svg.text("first layer", x(0) - 6, bottom, "tick", "start"))
    parts.append(svg.text("last layer", x(1) + 6, bottom, "tick", "end"))
    parts.append(svg.text("depth", (_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, "axis", "middle"))
    parts.append(svg.upright_axis(axis, 11, (_TOP + HEIGHT - _BOTTOM) / 2))
    return parts


def _series(item: DepthSeries, x: Callable[[float], float], y: svg.Scale, axis: str) -> list[str]:
    color = svg.series_class(item.index)
    places = [(x(point.place), y(point.value)) for point in item.points]
    parts = [svg.path(places, f"mean {color}", svg.dash(item.index), item.label)]
    for point, (across, up) in zip(item.points, places, strict=True):
        if math.isnan(point.value):
            continue
        tip = f"{item.label}, {point.layer}: {point.value:.2f}"
        if point.low is not None and point.high is not None:
            tip += f" ({point.low:.2f} to {point.high:.2f})"
            whisker = svg.tag(
                "line", x1=across, x2=across, y1=y(point.low), y2=y(point.high), class_=f"whisker {color}"
            )
            parts.append(whisker)
        row: svg.Row = {
            "model": item.label,
            "layer": point.layer,
            axis: point.value,
            "low": point.low,
            "high": point.high,
        }
        parts.append(svg.marker(item.index, across, up, 3.2, f"dot {color}", tip, row))
    return parts
