"""Declared metrics: first-party ones say what they compute, and what breaks its promise is named."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core.conformance import metrics as suite
from bench_core.declarations import Metric
from bench_core.errors import PluginError, UnknownNameError
from bench_core.metrics import counts, surface
from bench_core.metrics.declared import (
    known_unit,
    macro,
    micro,
    of_counts,
    of_labels,
    per_class,
    per_image,
)
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
REGISTRY = load_registry()
COUNTS = np.array([[[8, 2, 4], [0, 0, 0], [3, 0, 0]], [[0, 3, 0], [1, 0, 1], [0, 0, 9]]])


def declared(**changes: Any) -> Metric:
    fields = {
        "name": "mine",
        "title": "Mine",
        "version": 1,
        "needs": "labels",
        "compute": lambda *maps: np.zeros(maps[2]),
        "definition": "Zero.",
        "empty": "Zero.",
    }
    return Metric(**{**fields, **changes})


def test_first_party_metrics_of_counts_are_the_four_ratios() -> None:
    found = [metric for metric in REGISTRY.metrics.values() if metric.needs == "counts"]
    assert [metric.name for metric in found] == list(counts.METRICS)
    for metric in found:
        np.testing.assert_array_equal(of_counts(metric, COUNTS), counts.scores(COUNTS)[metric.name])
        assert micro(metric, COUNTS) == counts.micro(COUNTS)[metric.name]
        assert macro(metric, COUNTS) == counts.macro(COUNTS)[metric.name]
        np.testing.assert_array_equal(per_class(metric, COUNTS), counts.per_class(COUNTS)[metric.name])
        for policy in ("ignore", "one", "zero"):
            expected = counts.per_image(COUNTS, policy)[metric.name]
            np.testing.assert_array_equal(per_image(metric, COUNTS, policy), expected)


def test_first_party_metrics_of_label_maps_take_their_options_and_the_spacing() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[2:6, 2:6] = 1
    guess = np.roll(truth, 2, axis=0)
    for name, function in (("hd95", surface.hd95), ("assd", surface.assd), ("nsd", surface.nsd)):
        metric = REGISTRY.metric(name)
        options = complete_options(metric.options, {})
        expected = function(guess, truth, 2, (2.0, 1.0))
        found = of_labels(metric, options, guess, truth, 2, (2.0, 1.0))
        np.testing.assert_array_equal(found, expected)
        assert math.isnan(found[1])
    nsd = REGISTRY.metric("nsd")
    near = of_labels(nsd, complete_options(nsd.options, {"tolerance": 1}), guess, truth, 1)
    assert near[0] < of_labels(nsd, complete_options(nsd.options, {"tolerance": 2}), guess, truth, 1)[0] == 1


def test_a_length_is_in_mm_only_where_every_spacing_is_known() -> None:
    hd95, nsd = REGISTRY.metric("hd95"), REGISTRY.metric("nsd")
    assert [known_unit(hd95, known) for known in (True, False)] == ["mm", "px"]
    assert [known_unit(nsd, known) for known in (True, False)] == ["fraction", "fraction"]
    seen = []

    def remember(prediction: Any, truth: Any, classes: int, spacing: Any, ignore: Any) -> Any:
        seen.append(spacing)
        return np.zeros(classes)

    blank = np.zeros((2, 2), np.uint8)
    of_labels(declared(unit="px", compute=remember), {}, blank, blank, 1, (1.0, 2.0))
    of_labels(declared(unit="length", compute=remember), {}, blank, blank, 1, (1.0, 2.0))
    assert seen == [None, (1.0, 2.0)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "../evil"}, "dashes"),
        ({"name": "Mine"}, "dashes"),
        ({"name": "a--b"}, "dashes"),
        ({"unit": "inch"}, "unit of metric 'mine' is 'inch'"),
        ({"better": "up"}, "higher or lower"),
        ({"needs": "logits"}, "counts or labels"),
        ({"needs": "counts", "unit": "px"}, "fraction"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        declared(**changes)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (np.zeros(3), "shape (3,)"),
        (0.5, "shape ()"),
        ([0.5, 1.5], "1.5"),
        ([-0.1, 0.5], "-0.1"),
        ([0.5, math.inf], "inf"),
        (["a", "b"], "list"),
        (None, "shape ()"),
    ],
)
def test_an_answer_that_breaks_the_declaration_is_named(answer: Any, says: str) -> None:
    metric = declared(compute=lambda *maps: answer)
    blank = np.zeros((2, 2), np.uint8)
    with pytest.raises(PluginError, match="'mine' does not return what it declares") as caught:
        of_labels(metric, {}, blank, blank, 2)
    assert says in str(caught.value.cause)


def test_an_unknown_metric_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError) as caught:
        REGISTRY.metric("hd59")
    assert caught.value.fix == "did you mean 'hd95'?"


@pytest.mark.parametrize("metric", REGISTRY.metrics.values(), ids=lambda metric: metric.name)
def test_the_page_says_what_is_declared(metric: Metric) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{metric.name}` |")]
    assert len(rows) == 1, f"docs/metrics.md has {len(rows)} rows for {metric.name}"
    unit = "mm or px" if metric.unit == "length" else metric.unit
    for text in (metric.title, metric.definition, unit, metric.better, metric.empty, metric.source):
        assert text in rows[0]
    for name, option in metric.options.items():
        assert f"`{name}`" in rows[0] and f"{option.default:g}" in rows[0]


def test_the_pages_example_is_a_metric(tmp_path: Path) -> None:
    source = re.search(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert source is not None
    path = tmp_path / "centroid.py"
    path.write_text(source[1])
    registry = load_registry([path])
    subject = suite.subject_of(registry, "centroid-distance", {})
    assert [
        found for item in suite.PROPERTIES if (found := suite.judge(item, subject)).state == "wrong"
    ] == []
    metric = registry.metric("centroid-distance")
    truth = np.zeros((6, 8), np.uint8)
    truth[1:3, 1:3] = 1
    guess = np.roll(truth, (3, 4), axis=(0, 1))
    np.testing.assert_array_equal(of_labels(metric, {}, guess, truth, 2), [5.0, math.nan])
    assert of_labels(metric, {}, guess, truth, 1, (0.5, 0.5))[0] == 2.5
    assert of_labels(metric, {}, np.zeros_like(guess), truth, 1)[0] == 10.0
