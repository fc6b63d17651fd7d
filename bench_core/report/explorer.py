"""What the page's viewer and scatter plots know: every image's Dice, and pictures of as many as there are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from math import isnan
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.pictured import ImageScores, PicturedImage, defined
from bench_core.declarations import IGNORE
from bench_core.errors import StoreError
from bench_core.report import pictures
from bench_core.report.colors import SETS, ErrorColors

DIGITS = 1000
"""Dice is kept in thousandths: the page shows a decimal of a percent."""
MOST_ATTRIBUTES = 40
TOGETHER = 16
"""Images whose pictures are drawn at the same time."""
MOST_CLASSES = 24
"""Classes that a picture has areas of; later ones would make it too large."""


@dataclass
class Drawn:
    """The pictures of a dataset."""

    files: dict[str, bytes] = field(default_factory=dict)
    known: dict[str, list[Any]] = field(default_factory=dict)
    """Image to photo, sheet, width, height, models and whether pixels are left out."""


def model_facts(evidence: Evidence) -> list[dict[str, str]]:
    """Return what the page says of models, in the order of the study."""
    return [{"label": model.label, "title": model.title, "family": model.family} for model in evidence.models]


def dataset_facts(
    evidence: Evidence, data: DatasetFacts, scores: ImageScores, drawn: Drawn, colors: ErrorColors
) -> dict[str, Any]:
    """Return the images of a dataset as columns: id, fold, each model's Dice, attributes, pictures."""
    rows = {sample: row for row, sample in enumerate(scores.ids)}
    return {
        "label": data.label,
        "title": data.title,
        "classes": list(data.classes),
        "ids": list(scores.ids),
        "folds": list(scores.folds),
        "dice": [_thousandths(scores.dice[model.label]) for model in evidence.models],
        "attributes": _attributes(evidence, data.label, scores.ids),
        "pictures": {str(rows[sample]): facts for sample, facts in drawn.known.items() if sample in rows},
        "colors": colors.name,
    }


def color_facts() -> dict[str, Any]:
    """Return the colors that the page draws with, as the static pictures have them."""
    return {
        "errors": {item.name: [list(color) for color in item.all] for item in SETS},
        "classes": [list(color) for color in pictures.CLASS_COLORS],
    }


def by_interest(scores: ImageScores, samples: Iterable[str]) -> list[str]:
    """Return images, those first that say most: worst and best for all and where models differ, in turn."""
    values = {sample: defined(scores.of(sample)) for sample in samples}
    known = [sample for sample, found in values.items() if found]
    mean = {sample: fmean(values[sample]) for sample in known}
    spread = {sample: pstdev(values[sample]) for sample in known}
    worst = sorted(known, key=lambda sample: (mean[sample], sample))
    differ = sorted(known, key=lambda sample: (-spread[sample], sample))
    turns = zip(worst, differ, worst, differ, worst[::-1], strict=True)
    taken = dict.fromkeys(sample for turn in turns for sample in turn)
    return [*taken, *(sample for sample in values if sample not in taken)]


def draw(images: Iterable[PicturedImage], evidence: Evidence, place: int, width: int) -> Drawn:
    """Return the pictures of images of one dataset (by its place in the study), which come one by one.

    Label maps keep the full grid; the photo is averaged down to `width`.
    """
    found = Drawn()
    models = {model.label: number for number, model in enumerate(evidence.models)}
    classes = min(MOST_CLASSES, len(evidence.datasets[place].classes))
    for number, (image, files, ignored) in enumerate(_encoded(images, width, classes)):
        names = f"{place}-{number}.jpg", f"{place}-{number}.png"
        found.files.update(zip(names, files, strict=True))
        height, wide = image.mask.shape
        tested = [models[model] for model in image.maps]
        found.known[image.id] = [*names, wide, height, tested, int(ignored)]
    return found


def _encoded(
    images: Iterable[PicturedImage], width: int, classes: int
) -> Iterator[tuple[PicturedImage, tuple[bytes, bytes], bool]]:
    """Yield each image with its photo and its sheet, and whether the sheet has ignored pixels."""

    def encode(image: PicturedImage) -> tuple[PicturedImage, tuple[bytes, bytes], bool]:
        photo, _ = pictures.shrunk(pictures.rgb(image.image), width)
        ignored = bool((image.mask == IGNORE).any())
        sheet = pictures.sheet(list(_areas(image, classes, ignored)))
        return image, (pictures.photo(photo), sheet), ignored

    stream = iter(images)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="pictures") as pool:
        # A few at a time: images come one by one, and are not held.
        while some := list(islice(stream, TOGETHER)):
            yield from pool.map(encode, some)


def _areas(image: PicturedImage, classes: int, ignored: bool) -> Iterator[NDArray[np.bool_]]:
    for labels in (image.mask, *image.maps.values()):
        for label in range(1, classes + 1):
            yield labels == label
    if ignored:
        yield image.mask == IGNORE


def _thousandths(values: NDArray[np.float64]) -> list[int | None]:
    return [None if isnan(value) else round(DIGITS * value) for value in values.tolist()]


def _attributes(evidence: Evidence, dataset: str, ids: Sequence[str]) -> dict[str, list[Any]]:
    try:
        known, columns = evidence.samples(dataset).ids, evidence.attributes(dataset)
    except StoreError:
        return {}
    places = {sample: place for place, sample in enumerate(known)}
    found: dict[str, list[Any]] = {}
    for name, column in list(columns.items())[:MOST_ATTRIBUTES]:
        values = [column[places[sample]] if sample in places else None for sample in ids]
        if len({value for value in values if value is not None}) > 1:
            found[name] = [float(f"{value:.5g}") if isinstance(value, float) else value for value in values]
    return found


def sizes(files: Mapping[str, bytes]) -> int:
    """Return the bytes of files as they are in a page."""
    return sum(len(content) * 4 // 3 for content in files.values())
