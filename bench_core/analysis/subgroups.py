"""Per-image scores by subgroup: samples of one attribute value, or of a range of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.quantities import Quantity
from bench_core.errors import StoreError
from bench_core.samples import Column, Samples

UNKNOWN = "not known"
MOST_TEXTS = 12
"""Different texts that an attribute may have; one with more tells images apart and not subgroups."""


@dataclass(frozen=True)
class Subgroup:
    """The test images of a cell that share a value."""

    value: str
    images: int
    scores: tuple[float, ...]
    """Of its images with a defined score, all finished folds together."""


def labels_of(column: Column, bins: int) -> list[str] | None:
    """Return the subgroup of each sample, None for an attribute that makes none.

    Texts stand for themselves. Numbers are cut into at most `bins` ranges that hold about as many samples
    each, by quantiles over all samples of the dataset, so that they are the same for every model.
    """
    known = [value for value in column if value is not None]
    if not known or len(set(known)) < 2:
        return None
    if isinstance(known[0], str):
        if len(set(known)) > MOST_TEXTS:
            return None
        return [UNKNOWN if value is None else str(value) for value in column]
    numbers = np.array(known, dtype=np.float64)
    inner = np.quantile(numbers, np.arange(1, bins) / bins, method="higher")
    edges = sorted({float(edge) for edge in inner if numbers.min() < edge})
    names = _names(float(numbers.min()), edges, float(numbers.max()))
    return [
        UNKNOWN if value is None else names[int(np.searchsorted(edges, float(value), side="right"))]
        for value in column
    ]


def subgroups(cell: Cell, quantity: Quantity, attribute: str, bins: int) -> tuple[Subgroup, ...]:
    """Return the subgroups of a cell's test images in a fixed order, those of unknown value last."""
    images: dict[str, int] = {}
    scores: dict[str, list[float]] = {}
    order: list[str] = []
    for fold in filter(quantity.has, cell.folds):
        samples = known_samples(fold)
        labels = None if samples is None else _labels(samples, attribute, bins)
        if labels is None:
            continue
        order = order or _ordered(samples.attributes[attribute], labels) if samples else order
        for sample, score in zip(fold.counts.ids, _numbers(quantity.of_images(fold)), strict=True):
            label = labels.get(sample, UNKNOWN)
            images[label] = images.get(label, 0) + 1
            if score == score:
                scores.setdefault(label, []).append(score)
    known = [label for label in order if label in images and label != UNKNOWN]
    return tuple(
        Subgroup(label, images[label], tuple(scores.get(label, ())))
        for label in (*known, *([UNKNOWN] if UNKNOWN in images else []))
    )


def attributes(evidence: Evidence, dataset: str) -> tuple[str, ...]:
    """Return the attributes of a dataset's samples, as far as finished jobs kept them."""
    for cell in evidence.cells.values():
        for fold in cell.folds if cell.dataset == dataset else ():
            samples = known_samples(fold)
            if samples is not None:
                return tuple(samples.attributes)
    return ()


def known_samples(fold: Finished) -> Samples | None:
    """Return what the store keeps of the samples that a job saw; None where nothing readable is."""
    try:
        return fold.store.samples(fold.result.data.fingerprint)
    except StoreError:
        return None


def _labels(samples: Samples, attribute: str, bins: int) -> Mapping[str, str] | None:
    column = samples.attributes.get(attribute)
    labels = labels_of(column, bins) if column is not None else None
    return None if labels is None else dict(zip(samples.ids, labels, strict=True))


def _ordered(column: Column, labels: Mapping[str, str]) -> list[str]:
    """Return the labels by the smallest value in each."""
    pairs = zip(column, labels.values(), strict=True)
    return list(dict.fromkeys(label for _, label in sorted(_comparable(pairs))))


def _comparable(pairs: object) -> list[tuple[tuple[bool, float, str], str]]:
    found = []
    for value, label in pairs:  # type: ignore[attr-defined]
        number = float(value) if isinstance(value, (int, float)) else 0.0
        found.append(((value is None, number, value if isinstance(value, str) else ""), label))
    return found


def _names(low: float, edges: Sequence[float], high: float) -> list[str]:
    starts, ends = [low, *edges], [*edges, high]
    last = len(edges)
    return [
        f"{start:g} to {end:g}" if place == last else f"{start:g} to below {end:g}"
        for place, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _numbers(values: NDArray[np.float64]) -> list[float]:
    found: list[float] = values.tolist()
    return found
