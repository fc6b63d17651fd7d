"""Small SVG pieces: elements that escape, scales, round ticks, series styles; the page's CSS colors them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from bench_core.text import visible

SERIES = 8
"""Series colors in the style sheet, `s1` to `s8`."""
Row: TypeAlias = Mapping[str, str | int | float | None]
_DASHES = ("", "7 3", "2 3", "8 3 2 3")
_SHAPES = ("circle", "square", "triangle", "diamond")


def tag(name: str, *children: str, **attributes: str | float | None) -> str:
    """Return an element; children are markup, attribute values are escaped, None leaves one out.

    Underscores in attribute names become hyphens, a trailing one (class_) is dropped.
    """
    parts = []
    for key, value in attributes.items():
        if value is not None:
            shown = number(value) if isinstance(value, (int, float)) else escape(value, quote=True)
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{shown}"')
    inner = "".join(children)
    return f"<{name}{''.join(parts)}>{inner}</{name}>" if inner else f"<{name}{''.join(parts)}/>"


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def text(content: str, x: float, y: float, class_: str = "tick", anchor: str = "start") -> str:
    """Return one line of text."""
    return tag("text", escape(content), x=x, y=y, class_=class_, text_anchor=anchor)


def upright_axis(content: str, x: float, y: float) -> str:
    """Return the name of an axis that is read from below, with its middle at a place."""
    turned = f"rotate(-90 {number(x)} {number(y)})"
    return tag("text", escape(content), x=x, y=y, class_="axis", text_anchor="middle", transform=turned)


def chart(title: str, description: str, width: float, height: float, *children: str) -> str:
    """Return an SVG image with its title for people and its description for screen readers."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=f"{title}. {description}",
        class_="chart",
    )


@dataclass(frozen=True)
class Scale:
    """A linear map from values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> tuple[float, ...]:
        """Return about `count` round values inside the range."""
        return round_ticks(self.low, self.high, count)


def span(
    values: Sequence[float], pad: float = 0.06, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """Return the range that finite values need, with a margin, cut at `low` and `high`; never empty."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return (0.0, 1.0)
    first, last = min(finite), max(finite)
    spread, size = last - first, max(abs(first), abs(last))
    # Values that differ in their last digits only are drawn as equal: no tick label could tell them apart.
    margin = spread * pad if spread > 1e-6 * max(size, 1e-3) else max(size * 0.02, 1e-3)
    first, last = first - margin, last + margin
    return (max(first, low) if low is not None else first, min(last, high) if high is not None else last)


def round_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Return at least three multiples of 1, 2 or 5 times a power of ten inside [low, high]."""
    # A step is at most 2.5 times what was wanted, so eight wanted always give three.
    for wanted in range(max(count, 1), max(count, 1) + 8):
        ticks = _multiples(low, high, (high - low) / wanted)
        if len(ticks) > 2:
            break
    return ticks


def _multiples(low: float, high: float, raw: float) -> tuple[float, ...]:
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def tick_label(value: float, ticks: Sequence[float]) -> str:
    """Return a tick's text with as many decimals as the ticks' distance needs."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else abs(value) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}"


def series_class(index: int) -> str:
    """Return the CSS class of a series' color."""
    return f"s{index % SERIES + 1}"


def dash(index: int) -> str | None:
    """Return the dash pattern of a series: neighbors differ by more than color."""
    # Shifted a turn later at each cycle: no two of 16 series share color and dash.
    return _DASHES[(index + index // len(_DASHES)) % len(_DASHES)] or None


def marker(
    shape: int, x: float, y: float, size: float, class_: str, tip: str = "", row: Row | None = None
) -> str:
    """Return a marker of one of four shapes with an optional tooltip and the numbers that it stands for."""
    name = _SHAPES[shape % len(_SHAPES)]
    title, kept = tag("title", escape(tip)) if tip else "", numbers(row)
    if name == "circle":
        return tag("circle", title, cx=x, cy=y, r=size, class_=class_, data_row=kept)
    if name == "square":
        return tag(
            "rect",
            title,
            x=x - size * 0.9,
            y=y - size * 0.9,
            width=size * 1.8,
            height=size * 1.8,
            class_=class_,
            data_row=kept,
        )
    if name == "triangle":
        corners: tuple[tuple[float, float], ...] = (
            (x, y - size * 1.2),
            (x + size * 1.1, y + size * 0.8),
            (x - size * 1.1, y + size * 0.8),
        )
    else:
        corners = ((x, y - size * 1.3), (x + size * 1.3, y), (x, y + size * 1.3), (x - size * 1.3, y))
    return tag(
        "polygon",
        title,
        points=" ".join(f"{number(a)},{number(b)}" for a, b in corners),
        class_=class_,
        data_row=kept,
    )


def numbers(row: Row | None) -> str | None:
    """Return what a mark stands for as JSON, for its attribute `data-row`: the page saves it as a CSV row."""
    if row is None:
        return None
    plain: dict[str, str | int | float | None] = {}
    for key, value in row.items():
        if isinstance(value, str):
            plain[key] = visible(value)
        else:
            plain[key] = None if isinstance(value, float) and not math.isfinite(value) else value
    return json.dumps(plain, ensure_ascii=False)


def path(
    points: Sequence[tuple[float, float]],
    class_: str,
    dashes: str | None = None,
    tip: str = "",
    row: Row | None = None,
    values: Sequence[float] = (),
) -> str:
    """Return a polyline; a point with a NaN breaks it.

    With `row` and `values`, it stands for one number per epoch, kept to six digits.
    """
    steps, pen = [], "M"
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        steps.append(f"{pen}{number(x)} {number(y)}")
        pen = "L"
    if not steps:
        return ""
    title = tag("title", escape(tip)) if tip else ""
    return tag(
        "path",
        title,
        d="".join(steps),
        class_=class_,
        stroke_dasharray=dashes,
        data_row=numbers(row),
        data_values=" ".join(f"{value:.6g}" if math.isfinite(value) else "" for value in values)
        if values
        else None,
    )


def line_key(index: int) -> str:
    """Return the swatch of a line series for a legend."""
    return tag(
        "svg",
        path(((1, 6), (27, 6)), f"mean {series_class(index)}", dash(index)),
        viewBox="0 0 28 12",
        class_="swatch",
        aria_hidden="true",
    )


def marker_key(index: int) -> str:
    """Return the swatch of a marker series for a legend."""
    return tag(
        "svg",
        marker(index, 7, 6, 4.2, f"dot {series_class(index)}"),
        viewBox="0 0 14 12",
        class_="swatch small",
        aria_hidden="true",
    )


def fit(label: str, characters: int) -> str:
    """Return a label cut in its middle to a number of characters."""
    if len(label) <= characters:
        return label
    head = (characters - 1) * 2 // 3
    return f"{label[:head]}…{label[-(characters - 1 - head) :]}"
