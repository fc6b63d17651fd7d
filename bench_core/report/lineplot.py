"""Line plots over epochs (folds thin, mean thick) and over learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench_core.report import svg

WIDTH = 360.0
HEIGHT = 236.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 40.0
POINTS = 240
"""Points a line keeps at most; a longer one is thinned evenly, its last point kept."""


@dataclass(frozen=True)
class Series:
    """One model's lines."""

    label: str
    index: int
    """Color and dash."""
    mean: tuple[float, ...]
    folds: tuple[tuple[int, tuple[float, ...], int], ...] = ()
    """Fold, its values, and the position of the chosen epoch."""


@dataclass(frozen=True)
class RateSeries:
    """One model's search: values over the grid's rates."""

    label: str
    index: int
    points: tuple[tuple[float, float], ...]
    """(rate, value), by rate."""
    chosen: frozenset[float] = frozenset()


def epoch_plot(title: str, axis: str, series: Sequence[Series], top: float | None = None) -> str:
    """Return values over epochs counted from 1, `top` being the largest possible value."""
    values = [value for item in series for _, line, _ in item.folds for value in line]
    length = max((len(line) for item in series for _, line, _ in item.folds), default=1)
    low, high = svg.span(values, low=0.0 if min(values, default=0.0) >= 0 else None, high=top)
    x = svg.Scale(1, max(length, 2), LEFT, WIDTH - RIGHT)
    y = svg.Scale(low, high, HEIGHT - BOTTOM, TOP)
    steps = tuple(tick for tick in x.ticks(5) if tick == int(tick) and tick >= 1)
    parts = [
        _frame(y, axis),
        *(svg.text(f"{tick:.0f}", x(tick), HEIGHT - BOTTOM + 15, "tick", "middle") for tick in steps),
    ]
    parts.append(svg.text("epoch", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "axis", "middle"))
    for item in series:
        color = svg.series_class(item.index)
        for fold, line, chosen in item.folds:
            tip = f"{item.label}, fold {fold}"
            row: svg.Row = {"model": item.label, "fold": fold}
            parts.append(svg.path(_points(line, x, y), f"thin {color}", None, tip, row, line))
            if 0 <= chosen < len(line) and math.isfinite(line[chosen]):
                place = f"{tip}: epoch {chosen + 1} was tested"
                parts.append(svg.marker(0, x(chosen + 1), y(line[chosen]), 2.4, f"dot {color}", place))
    for item in series:
        parts.append(
            svg.path(
                _points(item.mean, x, y),
                f"mean {svg.series_class(item.index)}",
                svg.dash(item.index),
                f"{item.label}, mean",
            )
        )
    spoken = "; ".join(_spoken(item) for item in series)
    return svg.chart(title, spoken, WIDTH, HEIGHT, *parts)


def rate_plot(title: str, axis: str, series: Sequence[RateSeries]) -> str:
    """Return values over learning rates on a logarithmic axis; chosen rates are ringed."""
    rates = sorted({rate for item in series for rate, _ in item.points})
    low, high = svg.span([value for item in series for _, value in item.points], pad=0.1)
    ends = (math.log10(rates[0]) - 0.15, math.log10(rates[-1]) + 0.15) if rates else (0.0, 1.0)
    x = svg.Scale(*ends, LEFT, WIDTH - RIGHT)
    y = svg.Scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_frame(y, axis)]
    parts += [
        svg.text(
            f"{rate:.0e}".replace("e-0", "e-"), x(math.log10(rate)), HEIGHT - BOTTOM + 15, "tick", "middle"
        )
        if rate == float(f"{rate:.0e}")
        else svg.text(repr(rate), x(math.log10(rate)), HEIGHT - BOTTOM + 15, "tick", "middle")
        for rate in rates
    ]
    parts.append(svg.text("learning rate", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "axis", "middle"))
    for item in series:
        color = svg.series_class(item.index)
        places = [(x(math.log10(rate)), y(value)) for rate, value in item.points]
        parts.append(svg.path(places, f"mean {color}", svg.dash(item.index), item.label))
        for (rate, value), (px, py) in zip(item.points, places, strict=True):
            parts.append(
                svg.marker(
                    item.index,
                    px,
                    py,
                    3.2,
                    f"dot {color}",
                    f"{item.label}, {rate!r}: {value:.1f}",
                    {"model": item.label, "learning_rate": rate, "value": value},
                )
            )
            if rate in item.chosen:
                parts.append(svg.tag("circle", cx=px, cy=py, r=8, class_=f"ring {color}"))
    spoken = "; ".join(
        f"{item.label}: " + ", ".join(f"{rate!r} gives {value:.1f}" for rate, value in item.points)
        for item in series
    )
    return svg.chart(title, spoken, WIDTH, HEIGHT, *parts)


def _frame(y: svg.Scale, axis: str) -> str:
    ticks = y.ticks(5)
    parts = [
        svg.tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(tick), y2=y(tick), class_="grid") for tick in ticks
    ]
    parts += [svg.text(svg.tick_label(tick, ticks), LEFT - 6, y(tick) + 4, "tick", "end") for tick in ticks]
    parts.append(svg.upright_axis(axis, 11, (TOP + HEIGHT - BOTTOM) / 2))
    return "".join(parts)


def _points(line: Sequence[float], x: svg.Scale, y: svg.Scale) -> list[tuple[float, float]]:
    stride = max(1, math.ceil(len(line) / POINTS))
    kept = [*range(0, len(line), stride)]
    if kept and kept[-1] != len(line) - 1:
        kept.append(len(line) - 1)
    return [(x(epoch + 1), y(line[epoch])) for epoch in kept]


def _spoken(item: Series) -> str:
    finite = [value for value in item.mean if math.isfinite(value)]
    if not finite:
        return f"{item.label} no values"
    return f"{item.label} from {finite[0]:.3g} to {finite[-1]:.3g} over {len(item.mean)} epochs"
