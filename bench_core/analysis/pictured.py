"""The same images for all models: which can be shown, with their truth and every model's label map."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import isnan, nan
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.packed_maps import LabelMaps, Packed
from bench_core.data.arrays import CachedArrays
from bench_core.errors import BenchError, DataError
from bench_core.metrics.counts import per_image

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Per-image Dice of a dataset's tested images."""

    ids: tuple[str, ...]
    folds: tuple[int, ...]
    """The fold that tests each image."""
    dice: Mapping[str, NDArray[np.float64]]
    """Model label to [N]: mean over repeats, NaN where undefined or not tested."""

    def of(self, sample: str) -> dict[str, float]:
        """Return each model's Dice of one image, NaN where it has none."""
        row = self._rows.get(sample)
        return {model: nan if row is None else float(values[row]) for model, values in self.dice.items()}

    def fold(self, sample: str) -> int | None:
        """Return the fold that tests an image; None for one that nobody counted."""
        row = self._rows.get(sample)
        return None if row is None else self.folds[row]

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        return {sample: row for row, sample in enumerate(self.ids)}


@dataclass(frozen=True, eq=False)
class PicturedImage:
    """One image that can be shown."""

    id: str
    image: UInt8
    """[H, W, C]."""
    mask: UInt8
    """[H, W], class index; bench_core.IGNORE counts nowhere."""
    maps: Mapping[str, UInt8] = field(default_factory=dict)
    """Model label to its label map [H, W]; models that left none are not in it."""


def image_scores(evidence: Evidence, dataset: str) -> ImageScores:
    """Return the per-image Dice (mean over an image's classes) of all models on a dataset's test images."""
    cells = _cells(evidence, dataset)
    rows: dict[str, int] = {}
    folds: list[int] = []
    for cell in cells:
        for done in cell.folds:
            for sample in done.counts.ids:
                if sample not in rows:
                    rows[sample] = len(rows)
                    folds.append(done.job.fold.index)
    dice: dict[str, NDArray[np.float64]] = {}
    for cell in cells:
        total, number = np.zeros(len(rows)), np.zeros(len(rows))
        for done in cell.folds:
            places = np.array([rows[sample] for sample in done.counts.ids], dtype=np.int64)
            values = per_image(done.counts.values)["mdsc"]
            known = ~np.isnan(values)
            total[places[known]] += values[known]
            number[places[known]] += 1
        dice[cell.model] = np.where(number > 0, total / np.maximum(number, 1), nan)
    return ImageScores(tuple(rows), tuple(folds), dice)


def kept_images(evidence: Evidence, dataset: str) -> dict[str, PicturedImage]:
    """Return the images that any model's jobs keep pictures of, with the label maps in these pictures.

    Unreadable pictures are passed over: they are not numbers.
    """
    found: dict[str, PicturedImage] = {}
    maps: dict[str, dict[str, UInt8]] = {}
    for cell in _cells(evidence, dataset):
        for done in cell.folds:
            try:
                cases = done.cases
            except BenchError:
                continue
            for case in cases:
                known = found.get(case.id)
                if known is not None and known.mask.shape != case.prediction.shape:
                    continue
                maps.setdefault(case.id, {}).setdefault(cell.model, case.prediction)
                if known is None:
                    found[case.id] = PicturedImage(case.id, case.image, case.mask, maps[case.id])
    return found


def with_label_maps(
    evidence: Evidence, dataset: str, images: Mapping[str, PicturedImage]
) -> Iterator[PicturedImage]:
    """Yield the images that any model was tested on, with the label map of every model that left one.

    They come fold by fold, and each job's file is read once: what is in memory are one fold's label maps of
    these images, packed. Of repeats, the first that left a label map is shown.
    """
    cells = _cells(evidence, dataset)
    left = set(images)
    for index in sorted({done.job.fold.index for cell in cells for done in cell.folds}):
        jobs = [[done for done in cell.folds if done.job.fold.index == index] for cell in cells]
        tested = left & {sample for mine in jobs for done in mine for sample in done.counts.ids}
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="maps") as pool:
            # What takes the time is decompressing, which needs no interpreter lock.
            read = list(pool.map(partial(_maps, images=images, wanted=tested), jobs))
        for sample in images:
            if sample in tested:
                own = {model: Packed.of(labels) for model, labels in images[sample].maps.items()}
                found = {cell.model: maps.get(sample) for cell, maps in zip(cells, read, strict=True)}
                kept = {model: own.get(model) or packed for model, packed in found.items()}
                maps = {model: packed for model, packed in kept.items() if packed is not None}
                yield replace(images[sample], maps=LabelMaps(maps))
        left -= tested
    for sample in images:
        if sample in left and images[sample].maps:
            yield images[sample]


def exemplary(
    scores: Mapping[str, Sequence[float]], median: bool = True, most: int = 4
) -> tuple[tuple[str, str], ...]:
    """Return (why, image) of up to `most` different images by all models' Dice together.

    `scores` are the defined Dice of each image. The image that is best for all has the highest mean, the
    worst the lowest; the models differ most where the standard deviation of their Dice is largest.
    """
    means = {sample: fmean(values) for sample, values in scores.items() if values}
    order = sorted(means, key=lambda sample: (means[sample], sample))
    spread = {sample: pstdev(scores[sample]) for sample in order}
    picks: list[tuple[str, str]] = []

    def take(why: str, candidates: Sequence[str]) -> None:
        taken = {sample for _, sample in picks}
        left = [sample for sample in candidates if sample not in taken]
        if left and len(picks) < most:
            picks.append((why, left[0]))

    take("worst for all", order)
    take("best for all", order[::-1])
    if any(value > 0 for value in spread.values()):
        take("models differ most", sorted(order, key=lambda sample: (-spread[sample], sample)))
    if median and order:
        middle = len(order) // 2
        take("median", sorted(order, key=lambda sample: abs(order.index(sample) - middle)))
    return tuple(picks)


def opened_data(evidence: Evidence, done: Finished) -> CachedArrays:
    """Return the images and masks of a finished job's dataset, opened once.

    Raises what opening raises, and DataError where they are not the data of the result, or nobody asked for
    them.
    """
    if evidence.arrays is None:
        raise DataError("the data are not opened", fix="bench report SPEC --images data")
    label, then = done.job.dataset.label, done.result.data.fingerprint
    key = ("arrays", label, done.job.pixels)
    if key not in evidence.memo:
        evidence.memo[key] = evidence.arrays(done.job)
    arrays: CachedArrays = evidence.memo[key]
    if arrays.fingerprint != then:
        raise DataError(
            f"the data of {label} are not those of the results",
            cause=f"they are {arrays.fingerprint[:16]}… now, results are of {then[:16]}…",
            fix="leave --images data out: results keep pictures of a few images",
        )
    return arrays


def defined(values: Mapping[str, float]) -> list[float]:
    """Return the numbers that are defined."""
    return [value for value in values.values() if not isnan(value)]


def _cells(evidence: Evidence, dataset: str) -> list[Cell]:
    return [evidence.cells[model.label, dataset] for model in evidence.models]


def _maps(
    jobs: Sequence[Finished], images: Mapping[str, PicturedImage], wanted: Set[str]
) -> dict[str, Packed]:
    """Return one model's label maps of these images; none of a file that turns out to be damaged."""
    found: dict[str, Packed] = {}
    for done in jobs:
        asked = (wanted & set(done.counts.ids)) - found.keys()
        kept: dict[str, Packed] = {}
        try:
            for sample, labels in done.each_prediction() if asked else ():
                if sample in asked and labels.shape == images[sample].mask.shape:
                    kept[sample] = Packed.of(labels)
        except BenchError:
            continue
        found |= kept
    return found
