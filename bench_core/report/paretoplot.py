"""Pareto plots: what each model scores against what it costs, the front as a staircase, every point named."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench_core.report import svg
from bench_core.report.scatterplot import decades

WIDTH = 420.0
_LEFT, _RIGHT, _TOP, _HEIGHT = 44.0, 14.0, 12.0, 250.0
_SKEWED = 20
"""From this ratio of the largest to the smallest cost on, the axis is logarithmic."""
_LETTER, _LINE = 5.9, 13.0
"""Size of a label's letters, as the style sheet has them."""
_MOST_LETTERS = 20
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """One model."""

    label: str
    series: int
    """Color and shape."""
    cost: float
    score: float
    said: str = ""
    """Both in words, for tooltips."""


@dataclass(frozen=True)
class Sense:
    """Which way is better."""

    more_is_better: bool
    """Of the cost, as of a throughput."""
    lower_is_better: bool
    """Of the score."""


def pareto_plot(
    title: str,
    axes: tuple[str, str],
    points: Sequence[Point],
    on_front: Collection[str],
    sense: Sense,
) -> str:
    """Return the plot of finite points; `axes` are labels of cost and score, `on_front` labels of models."""
    costs = [point.cost for point in points]
    log = min(costs) > 0 and max(costs) / min(costs) >= _SKEWED
    place = math.log10 if log else float
    across = svg.Scale(*svg.span([place(cost) for cost in costs], 0.08), _LEFT, WIDTH - _RIGHT)
    up = svg.Scale(*svg.span([point.score for point in points], 0.1), _TOP + _HEIGHT, _TOP)
    placed = [(across(place(point.cost)), up(point.score)) for point in points]
    parts = _axes(across, up, axes, log)
    parts.append(_staircase([at for at, point in zip(placed, points, strict=True) if point.label in on_front],
                            sense))  # fmt: skip
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in placed]
    # The front's names find their places first.
    order = sorted(range(len(points)), key=lambda at: points[at].label not in on_front)
    names = {
        at: _name(points[at], *placed[at], 11 if points[at].label in on_front else 8, taken) for at in order
    }
    for at, point in enumerate(points):
        x, y = placed[at]
        color = svg.series_class(point.series)
        if point.label in on_front:
            parts.append(svg.tag("circle", cx=x, cy=y, r=7.5, class_=f"ring {color}"))
        row: svg.Row = {
            "model": point.label,
            "cost": point.cost,
            "score": point.score,
            "on front": "yes" if point.label in on_front else "no",
        }
        parts.append(svg.marker(point.series, x, y, 4.2, f"dot {color}", _spoken(point), row))
        parts.append(names[at])
    spoken = "; ".join(
        _spoken(point) + (", on the front" if point.label in on_front else "") for point in points
    )
    return svg.chart(title, spoken, WIDTH, _TOP + _HEIGHT + 38, *parts)


def _axes(across: svg.Scale, up: svg.Scale, axes: tuple[str, str], log: bool) -> list[str]:
    bottom, parts = _TOP + _HEIGHT, []
    ticks = up.ticks(5)
    for tick in ticks:
        parts.append(svg.tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(svg.text(svg.tick_label(tick, ticks), _LEFT - 6, up(tick) + 4, "tick", "end"))
    marks = decades(across) if log else list(across.ticks(5))
    for mark in marks:
        label = f"{10**mark:g}" if log else svg.tick_label(mark, marks)
        parts.append(svg.tag("line", x1=across(mark), x2=across(mark), y1=_TOP, y2=bottom, class_="grid"))
        parts.append(svg.text(label, across(mark), bottom + 14, "tick", "middle"))
    parts.append(svg.text(axes[0], (_LEFT + WIDTH - _RIGHT) / 2, bottom + 31, "axis", "middle"))
    parts.append(svg.text(axes[1], 2, _TOP - 2, "axis"))
    return parts


def _staircase(front: Sequence[tuple[float, float]], sense: Sense) -> str:
    """Return the border between what some model reaches and what none does."""
    if not front:
        return ""
    ordered = sorted(front, reverse=sense.more_is_better)
    far = _LEFT if sense.more_is_better else WIDTH - _RIGHT
    # Of the cheapest model nothing is known below its cost: the stairs begin at the plot's worst score.
    worst = _TOP if sense.lower_is_better else _TOP + _HEIGHT
    corners = [(ordered[0][0], worst)]
    for (x, y), following in zip(ordered, [*ordered[1:], (far, 0.0)], strict=True):
        corners += [(x, y), (following[0], y)]
    return svg.path(corners, "thread")


def _name(point: Point, x: float, y: float, gap: float, taken: list[Box]) -> str:
    """Return the name where it covers least, and take its place."""
    label = svg.fit(point.label, _MOST_LETTERS)
    wide = _LETTER * len(label)
    right, left = (x + gap, "start"), (x - gap, "end")
    tries = [(*side, y + dy) for dy in (4, -7, 15, -18, 26, -29, 37) for side in (right, left)]
    tries += [(x, "middle", y - gap - 2), (x, "middle", y + gap + 10)]

    def box(at: float, anchor: str, base: float) -> Box:
        begin = at if anchor == "start" else at - wide if anchor == "end" else at - wide / 2
        return begin, base - _LINE + 3, begin + wide, base + 3

    def covered(found: Box) -> float:
        beyond = max(0.0, _LEFT - found[0]) + max(0.0, found[2] - WIDTH) + max(0.0, -found[1])
        beyond += max(0.0, found[3] - _TOP - _HEIGHT)
        return 100 * beyond + sum(_overlap(found, other) for other in taken)

    best = min(tries, key=lambda each: covered(box(*each)) + 0.2 * abs(each[2] - y - 4))
    taken.append(box(*best))
    return svg.text(label, best[0], best[2], "label", best[1])


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _spoken(point: Point) -> str:
    return f"{point.label}: {point.said}" if point.said else point.label
