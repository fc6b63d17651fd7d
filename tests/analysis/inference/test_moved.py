"""Scores on another dataset: means over folds on one test set, intervals by groups, order against home."""

from __future__ import annotations

import numpy as np
import pytest

from bench_core.analysis.evidence import DatasetFacts
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.moved import MeanOfFolds, moved, order, seed_of
from bench_core.analysis.measured import Transferred
from bench_core.analysis.transferred import TransferSet
from bench_core.metrics.counts import dice
from bench_core.metrics.plugin import bench_metrics
from bench_core.records import Counts

MDSC = next(metric for metric in bench_metrics() if metric.name == "mdsc")
SETTINGS = Settings(samples=400)
IMAGES, GROUPS, FOLDS = 60, 20, 3


def counts(random: np.random.Generator, images: int, quality: float, start: int = 0) -> Counts:
    hits = random.binomial(40, quality, (images, 2))
    values = np.stack([hits, random.poisson(6, (images, 2)), 40 - hits], axis=-1)
    ids = tuple(f"i{number}" for number in range(start, start + images))
    groups = tuple(f"g{number % GROUPS}" for number in range(start, start + images))
    return Counts(ids, groups, ("a", "b"), values.astype(np.int64))


def made(there: dict[str, float], home: dict[str, float], folds: dict[str, int] | None = None) -> TransferSet:
    random = np.random.default_rng(5)
    models = {
        label: {
            fold: Transferred(
                there=counts(random, IMAGES, quality),
                home=counts(random, 30, home[label], 30 * fold),
                left_out={},
                unscored=(),
            )
            for fold in range((folds or {}).get(label, FOLDS))
        }
        for label, quality in there.items()
    }
    first = models[next(iter(models))][0].there
    facts = DatasetFacts("there", "There", "", "", ("a", "b"))
    return TransferSet(
        "transfer", "home", facts, ("a", "b"), (), "", first.ids, first.groups, {}, "f" * 64, models,
        dict.fromkeys(models, FOLDS),
    )  # fmt: skip


def test_scores_are_means_over_folds_with_intervals_over_groups() -> None:
    found = made({"one": 0.8, "other": 0.4}, {"one": 0.9, "other": 0.9})
    scores = moved(found, MDSC, SETTINGS)
    random = np.random.default_rng(seed_of(found, "there"))
    for label, folds in found.models.items():
        mine = scores[label]
        pooled = [float(dice(item.there.values.sum(axis=(0, 1)))) for item in folds.values()]
        assert list(mine.there.folds.values()) == pytest.approx(pooled)
        assert mine.there.std == pytest.approx(np.std(pooled, ddof=1))
        assert mine.home.mean == pytest.approx(
            np.mean([dice(item.home.values.sum(axis=(0, 1))) for item in folds.values()])
        )
        assert mine.drop == pytest.approx(mine.home.mean - np.mean(pooled))
        images = [dice(item.there.values).mean(axis=1).mean() for item in folds.values()]
        assert mine.images == pytest.approx(np.mean(images))
        for place, name in enumerate(found.classes):
            part = [float(dice(item.there.values[:, place].sum(axis=0))) for item in folds.values()]
            assert mine.classes[name].mean == pytest.approx(np.mean(part))
        # Drawn group by group, in plain loops: the scatter is what the interval is made of.
        of_group = [np.array(found.groups) == f"g{number}" for number in range(GROUPS)]
        drawn = []
        for _ in range(400):
            chosen = random.integers(0, GROUPS, GROUPS)
            parts = [
                sum(item.there.values[of_group[number]].sum(axis=(0, 1)) for number in chosen)
                for item in folds.values()
            ]
            drawn.append(np.mean([dice(part) for part in parts]))
        interval = mine.there.interval
        assert interval is not None and interval.holds(mine.there.mean)
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert interval.high - interval.low == pytest.approx(high - low, rel=0.3)


def test_the_mean_of_folds_is_undefined_where_a_fold_is() -> None:
    sums = np.array([[8.0, 2, 2, 4, 1, 1], [8, 2, 2, 0, 0, 0]])
    assert MeanOfFolds(MDSC).of(sums).tolist() == pytest.approx([0.8, np.nan], nan_ok=True)


def test_the_order_there_is_held_against_the_order_at_home() -> None:
    labels = ("a", "b", "c", "d")
    rising = dict(zip(labels, (0.2, 0.4, 0.6, 0.8), strict=True))
    falling = dict(zip(labels, (0.8, 0.6, 0.4, 0.2), strict=True))
    for home, tau in ((rising, 1.0), (falling, -1.0)):
        found = made(rising, home)
        kept = order(found, moved(found, MDSC, SETTINGS), MDSC, SETTINGS)
        assert kept is not None and kept.models == labels
        assert kept.tau == tau and kept.between == (tau, tau)


def test_only_models_that_are_whole_have_an_order() -> None:
    found = made(dict.fromkeys("abcd", 0.5), dict.fromkeys("abcd", 0.5), folds={"b": 2})
    kept = order(found, moved(found, MDSC, SETTINGS), MDSC, SETTINGS)
    assert kept is not None and kept.models == ("a", "c", "d")
    low, high = kept.between or (0, 0)
    assert low < high
    two = made(dict.fromkeys("ab", 0.5), dict.fromkeys("ab", 0.5))
    assert order(two, moved(two, MDSC, SETTINGS), MDSC, SETTINGS) is None
