"""Label maps of simulated models, and labels of which some were spoiled on purpose.

`python -m tests.helpers.planted_labels [RUNS]` prints the figures of docs/report.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bench_core.analysis.suspects import Suspects, suspects
from bench_core.labels import count_all
from bench_core.records import Counts, Predictions

SIDE = 64
MODELS = 6
KINDS = ("swapped", "eroded", "grown", "half erased", "erased")
UInt8 = NDArray[np.uint8]


@dataclass
class Planted:
    """Images of one dataset."""

    ids: tuple[str, ...]
    labels: list[UInt8]
    predictions: list[UInt8]
    """[N, S, S] of each model."""
    spoiled: dict[str, str]
    """Id to how its label was spoiled."""


def shape(radius: NDArray[np.float64], center: tuple[float, float]) -> UInt8:
    """Return a blob whose radius [72] in pixels depends on the direction."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    down, across = rows - center[0], columns - center[1]
    direction = ((np.arctan2(down, across) / (2 * np.pi)) % 1 * 72).astype(int) % 72
    return (np.hypot(down, across) < radius[direction]).astype(np.uint8)


def wave(random: np.random.Generator, size: float) -> NDArray[np.float64]:
    """Return a smooth relative error [72] of a contour."""
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    return size * sum(
        random.normal() * np.cos(turns * turn + random.uniform(0, 6.3)) for turns in (0, 1, 2, 3)
    )


def planted(seed: int, images: int = 200, each: int = 3, shared: float = 0.06, own: float = 0.06) -> Planted:
    """Return images of which `each` labels of each kind are spoiled.

    All models share an error of the contour, three times as large on one image in twenty, and each has one of
    its own, whose size varies with the image.
    """
    random = np.random.default_rng(seed)
    ids = tuple(f"i{number:03d}" for number in range(images))
    truth: list[UInt8] = []
    maps: list[list[UInt8]] = [[] for _ in range(MODELS)]
    for number in range(images):
        center = (float(random.uniform(24, 40)), float(random.uniform(24, 40)))
        radius = float(np.exp(random.normal(np.log(11), 0.3))) * (1 + wave(random, 0.08))
        together = wave(random, shared * (3 if number % 20 == 0 else 1))
        truth.append(shape(radius, center))
        hard = float(np.exp(random.normal(0, 0.6)))
        for mine in maps:
            mine.append(shape(radius * np.clip(1 + together + wave(random, own * hard), 0.2, 3), center))
    labels, chosen = list(truth), random.permutation(images)[: each * len(KINDS)]
    spoiled = {}
    for place, number in enumerate(chosen):
        kind = KINDS[place % len(KINDS)]
        labels[number] = spoil(kind, truth[number], truth[(number + 7) % images])
        spoiled[ids[number]] = kind
    return Planted(ids, labels, [np.stack(mine) for mine in maps], spoiled)


def spoil(kind: str, label: UInt8, other: UInt8) -> UInt8:
    """Return a label that is wrong."""
    if kind == "swapped":
        return np.roll(other, 12, axis=1)
    if kind == "erased":
        return np.zeros_like(label)
    if kind == "half erased":
        half = label.copy()
        half[:, int(np.median(np.flatnonzero(label.any(axis=0)))) :] = 0
        return half
    rounds = 3
    changed = (ndimage.binary_erosion if kind == "eroded" else ndimage.binary_dilation)(
        label, iterations=rounds
    )
    return changed.astype(np.uint8)


class Job:
    """What the ranking reads of a finished job."""

    def __init__(self, name: str, fold: int, counts: Counts, maps: UInt8) -> None:
        self.job = SimpleNamespace(
            name=name, fold=SimpleNamespace(index=fold), pixels=SimpleNamespace(image_size=SIDE)
        )
        self.index, self.counts, self.maps = fold, counts, maps

    def each_prediction(self) -> Iterator[tuple[str, UInt8]]:
        yield from zip(self.counts.ids, self.maps, strict=True)


def evidence_of(data: Planted, folds: int = 5) -> Any:
    """Return evidence that has nothing but the jobs that tested these images."""
    cells = {}
    for model, maps in enumerate(data.predictions):
        jobs = []
        for fold in range(folds):
            rows = range(fold, len(data.ids), folds)
            ids = tuple(data.ids[row] for row in rows)
            mine = maps[list(rows)]
            counts = count_all(Predictions(ids, mine), (data.labels[row] for row in rows), ids, ("lesion",))
            jobs.append(Job(f"m{model}-{fold}", fold, counts, mine))
        cells[f"m{model}", "planted"] = SimpleNamespace(dataset="planted", folds=tuple(jobs))
    models = tuple(SimpleNamespace(label=label, track="shared", family="SMA") for label, _ in cells)
    return SimpleNamespace(cells=cells, models=models)


def ranked(data: Planted, keep: int = 12, most: int = MODELS) -> Suspects:
    found = suspects(evidence_of(data), "planted", keep, most)
    assert found is not None
    return found


def by_dice(found: Suspects) -> list[str]:
    """Return ids ordered by Dice with the label alone, the worst first."""
    return [row.id for row in sorted(found.ranked, key=lambda row: row.with_label)]


def main(runs: int) -> None:
    for shared in (0.03, 0.06, 0.1):
        hits: Counter[str] = Counter()
        precision, plain, flagged, right = 0.0, 0.0, 0, 0
        for run in range(runs):
            data = planted(run, shared=shared)
            found, wanted = ranked(data), len(data.spoiled)
            top = [row.id for row in found.ranked[:wanted]]
            precision += sum(sample in data.spoiled for sample in top) / wanted / runs
            plain += sum(sample in data.spoiled for sample in by_dice(found)[:wanted]) / wanted / runs
            hits.update(data.spoiled[sample] for sample in top if sample in data.spoiled)
            flagged += len(found.standing_out)
            right += sum(row.id in data.spoiled for row in found.standing_out)
        kinds = {kind: hits[kind] / (3 * runs) for kind in KINDS}
        print(
            shared,
            "precision",
            precision,
            "by Dice alone",
            plain,
            "unusual",
            flagged / runs,
            right / max(flagged, 1),
        )
        print("  ", kinds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
