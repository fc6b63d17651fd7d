"""Metrics that are right, and many that break one property each; a plugin file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench_core import Metric, Option, hookimpl
from bench_core.metrics.surface import hd95

Array = Any
EMPTY = "undefined where neither has it; 0 where one has it"


def each(rule: Callable[[Array, Array], float]) -> Callable[..., Array]:
    """A metric of label maps that scores each class on its own, without ignored pixels."""

    def compute(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
        seen = np.ones(truth.shape, bool) if ignore is None else ~ignore
        masks = [((prediction == k) & seen, (truth == k) & seen) for k in range(1, classes + 1)]
        return np.array([rule(*pair) for pair in masks])

    return compute


def dice(found: Array, there: Array) -> float:
    total = int(found.sum() + there.sum())
    return 2 * int((found & there).sum()) / total if total else float("nan")


right = each(dice)


def worse(found: Array, there: Array) -> float:
    return 1 - dice(found, there)


def missed_is_left_out(found: Array, there: Array) -> float:
    return dice(found, there) if found.any() else float("nan")


def nowhere_is_zero(found: Array, there: Array) -> float:
    return dice(found, there) if found.any() or there.any() else 0.0


def invented_is_best(found: Array, there: Array) -> float:
    return float((found & there).sum() / there.sum()) if there.any() else (1.0 if found.any() else np.nan)


def nowhere_is_one(found: Array, there: Array) -> float:
    return dice(found, there) if found.any() or there.any() else 1.0


def half_missed(found: Array, there: Array) -> float:
    """A missed structure scores 0.5, better than one that is found badly."""
    if found.any() and there.any():
        return dice(found, there)
    return 0.5 if there.any() else (0.0 if found.any() else np.nan)


def edge(found: Array, there: Array) -> float:
    """Rewards what lies far to the right."""
    if not (found.any() and there.any()):
        return 0.0 if found.any() or there.any() else np.nan
    if (found == there).all():
        return 1.0
    return 0.5 * float(np.argwhere(found)[:, 1].mean() / 100) + 0.4 * dice(found, there)


def rows_only(found: Array, there: Array) -> float:
    """Overlap of the rows that the structures fill."""
    return dice(found.any(axis=1), there.any(axis=1))


def lopsided(found: Array, there: Array) -> float:
    """Looks at the left neighbors only."""
    return dice(*(mask & ~np.pad(mask, ((0, 0), (1, 0)))[:, :-1] for mask in (found, there)))


def over_classes(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    """Divides by the number of classes."""
    found = right(prediction, truth, classes, spacing, ignore)
    weight = np.array([1.0 if score == 1 else 3 / (3 + classes) for score in found])
    return found * weight


def first_is_easier(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    found = right(prediction, truth, classes, spacing, ignore)
    found[0] = np.sqrt(found[0])
    return found


def no_ignore(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    return right(prediction, truth, classes, spacing, None)


def half_ignored(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    hidden = truth if ignore is None else np.where(ignore, 0, truth)
    return right(prediction, hidden, classes, spacing, None)


def writes(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    found = right(prediction, truth, classes, spacing, ignore)
    truth[truth > 1] = 1
    return found


class Remembers:
    """Means over all that it has seen."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Array]] = {}

    def __call__(self, prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
        seen = self.seen.setdefault(classes, [])
        seen.append(right(prediction, truth, classes, spacing, ignore))
        known = np.nan_to_num(seen, nan=0.0).sum(axis=0) / np.maximum(~np.isnan(seen), 1e-9).sum(axis=0)
        return np.where(np.isnan(seen[-1]), np.nan, np.clip(known, 0, 1))


def one_number(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Any:
    return float(np.nan_to_num(right(prediction, truth, classes, spacing, ignore)).mean())


def percent(found: Array, there: Array) -> float:
    return 100 * dice(found, there)


def constant(found: Array, there: Array) -> float:
    return (1.0 if found.any() else 0.0) if there.any() else (0.0 if found.any() else np.nan)


def distance(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    return hd95(prediction, truth, classes, spacing, ignore)


def no_spacing(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    return hd95(prediction, truth, classes, None, ignore)


def swapped(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    return hd95(prediction, truth, classes, None if spacing is None else spacing[::-1], ignore)


def half_pixels(prediction: Array, truth: Array, classes: int, spacing: Any, ignore: Any) -> Array:
    return hd95(prediction, truth, classes, spacing or (0.5, 0.5), ignore)


def counted(counts: Array) -> Array:
    total = 2 * counts[..., 0] + counts[..., 1] + counts[..., 2]
    return np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), np.nan)


def first_row(counts: Array) -> Array:
    """Looks at the first count wherever it is."""
    found = counted(counts)
    return found if counts.ndim < 3 else np.broadcast_to(found[:1], found.shape)


def narrow(counts: Array) -> Array:
    return counted(counts.astype(np.int32))


@dataclass(frozen=True)
class Broken:
    """A broken metric and the property that must name its fault."""

    name: str
    compute: Callable[..., Any]
    property: str
    changes: dict[str, Any] = field(default_factory=dict)


_LENGTH = {"unit": "length", "better": "lower", "empty": "undefined where neither has it, else the diagonal"}
_EMPTY = "empty and missed structures"
BROKEN = (
    Broken("no-definition", right, "the declaration is filled in", {"definition": ""}),
    Broken(
        "unexplained-option",
        right,
        "the declaration is filled in",
        {"options": {"width": Option(type=int, default=1, help=" ")}},
    ),
    Broken("one-number", one_number, "one score per class, of its unit"),
    Broken("percent", each(percent), "one score per class, of its unit"),
    Broken("remembers", Remembers(), "equal maps score equally"),
    Broken("writes", writes, "equal maps score equally"),
    Broken("upside-down", right, "a perfect prediction is best", {"better": "lower"}),
    Broken("loss-as-score", each(worse), "a perfect prediction is best"),
    Broken("constant", each(constant), "errors count"),
    Broken("missed-is-left-out", each(missed_is_left_out), _EMPTY),
    Broken("nowhere-is-zero", each(nowhere_is_zero), _EMPTY),
    Broken("invented-is-best", each(invented_is_best), _EMPTY),
    Broken("says-undefined", each(nowhere_is_one), _EMPTY),
    Broken("says-nothing", right, _EMPTY, {"empty": "0 where one has it"}),
    Broken("half-missed", each(half_missed), "deleting a structure never improves"),
    Broken("edge", each(edge), "moving a structure away never improves"),
    Broken("rows-only", each(rows_only), "mirrored images score alike"),
    Broken("lopsided", each(lopsided), "mirrored images score alike"),
    Broken("over-classes", over_classes, "classes are treated alike"),
    Broken("first-is-easier", first_is_easier, "classes are treated alike"),
    Broken("no-ignore", no_ignore, "ignored pixels count nowhere"),
    Broken("half-ignored", half_ignored, "ignored pixels count nowhere"),
    Broken("no-spacing", no_spacing, "lengths follow the spacing", _LENGTH),
    Broken("swapped", swapped, "lengths follow the spacing", _LENGTH),
    Broken("half-pixels", half_pixels, "lengths follow the spacing", _LENGTH),
    Broken("first-row", first_row, "counts of every shape are taken", {"needs": "counts"}),
    Broken("narrow", narrow, "counts of every shape are taken", {"needs": "counts"}),
)


def _declared(name: str, compute: Callable[..., Any], **changes: Any) -> Metric:
    fields = {
        "name": name,
        "title": name.title(),
        "version": 1,
        "needs": "labels",
        "compute": compute,
        "definition": "Dice, or something like it.",
        "empty": EMPTY,
    }
    return Metric(**{**fields, **changes})


@hookimpl
def bench_metrics() -> list[Metric]:
    return [
        _declared("right", right),
        _declared("right-distance", distance, **_LENGTH),
        _declared("right-counts", counted, needs="counts"),
        _declared("right-one", each(nowhere_is_one), empty="1 where neither has it; 0 where one has it"),
        *(_declared(one.name, one.compute, **one.changes) for one in BROKEN),
    ]
