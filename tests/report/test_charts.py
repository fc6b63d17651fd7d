"""Chart pieces: ticks, scales, dots and lines lie where the numbers say."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from bench_core.report import svg
from bench_core.report.dotplot import GUTTER, VALUE, WIDTH, DotRow, dot_plot
from bench_core.report.lineplot import RateSeries, Series, epoch_plot, rate_plot
from tests.helpers.page import Page

FINITE = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


@example([0.0, 2.220446049250313e-16], 1)
@given(st.lists(FINITE, max_size=8), st.integers(1, 8))
def test_ticks_are_round_inside_and_evenly_spaced(values: list[float], count: int) -> None:
    low, high = svg.span(values)
    assert low < high
    ticks = svg.round_ticks(low, high, count)
    assert len(ticks) >= 3
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    steps = [second - first for first, second in pairwise(ticks)]
    assert max(steps) - min(steps) < 1e-3 * max(steps)
    assert len({svg.tick_label(tick, ticks) for tick in ticks}) == len(ticks)


def test_dots_lie_in_order_between_gutter_and_value() -> None:
    rows = [
        DotRow("a", 0, ((0, 80.0), (1, 90.0))),
        DotRow("b", 1, ((0, 85.0), (1, 95.0))),
        DotRow("c", 1, ()),
    ]
    page = Page(dot_plot("Title", "mDSC (%)", rows))
    places = [float(attrs["cx"]) for tag, attrs in page.elements if tag == "circle"]
    assert places == sorted(places)
    assert GUTTER < places[0] < places[1] < WIDTH - VALUE
    assert "no result" in page.text
    assert {"85.0", "90.0"} <= set(page.text.split())
    label = next(attrs["aria-label"] for tag, attrs in page.elements if tag == "svg")
    assert "a mean 85.0, folds 80.0 to 90.0" in label


def test_a_difference_plot_signs_its_means_and_keeps_zero() -> None:
    page = Page(dot_plot("Title", "points", [DotRow("a", 0, ((0, -2.0), (1, -1.0)))], zero=True))
    assert "−1.5" in page.text
    zero = next(attrs for tag, attrs in page.elements if attrs.get("class") == "zero")
    assert float(zero["x1"]) <= WIDTH - VALUE


def test_a_line_breaks_at_undefined_values_and_keeps_its_last_point() -> None:
    values = (10.0, math.nan, 30.0, 40.0)
    page = Page(epoch_plot("Title", "axis", [Series("m", 0, values, ((0, values, 2),))], 100.0))
    thin = next(attrs["d"] for tag, attrs in page.elements if attrs.get("class") == "thin s1")
    assert thin.count("M") == 2
    long = tuple(float(value) for value in range(1000))
    page = Page(epoch_plot("Title", "axis", [Series("m", 0, long, ((0, long, 999),))]))
    thin = next(attrs["d"] for tag, attrs in page.elements if attrs.get("class") == "thin s1")
    assert 200 <= len(re.findall("[ML]", thin)) <= 242
    assert thin.rsplit("L", 1)[1].startswith("350 ")


def test_chosen_rates_are_ringed() -> None:
    series = [RateSeries("m", 0, ((1e-5, 70.0), (5e-5, 80.0), (1e-4, 75.0)), frozenset({5e-5}))]
    page = Page(rate_plot("Title", "axis", series))
    rings = [attrs for _, attrs in page.elements if attrs.get("class", "").startswith("ring")]
    assert len(rings) == 1
    assert {"1e-5", "5e-5", "1e-4"} <= set(page.text.split())


def test_sixteen_series_differ_in_color_or_dash() -> None:
    assert len({(svg.series_class(index), svg.dash(index)) for index in range(16)}) == 16


@given(st.text(max_size=40))
def test_text_in_charts_stays_text(label: str) -> None:
    label = "".join(char for char in label if char.isprintable())
    rows = [DotRow(label, 0, ((0, 1.0), (1, 2.0)))]
    page = Page(dot_plot(label, label, rows))
    assert {tag for tag, _ in page.elements} <= {"svg", "text", "title", "line", "circle", "path"}
