"""Rows of pictures: one image beside its truth and every model's errors on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isnan

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.pictured import PicturedImage
from bench_core.report import errormap, pictures, svg
from bench_core.report.blocks import Compared, View
from bench_core.report.colors import ErrorColors
from bench_core.report.pictures import UInt8
from bench_core.text import visible

WIDTHS = (512, 256, 208, 176, 144, 120, 96, 72, 56)
"""Widths that pictures may have: the largest that keeps all of them within the budget is taken."""


def compared(
    evidence: Evidence,
    image: PicturedImage,
    dice: Mapping[str, float],
    colors: ErrorColors,
    width: int,
    *,
    title: str,
    detail: str,
    key: str = "",
    votes: Sequence[tuple[str, str, UInt8]] = (),
) -> Compared:
    """Return the image, its truth and, for each model in the order of the study, its error map.

    `votes` are further label maps under a name of their own: label, detail, map.
    """
    photo, scale = pictures.shrunk(pictures.rgb(image.image), width)
    said = f"image {image.id}"

    def view(label: str, detail: str, alt: str, fill: UInt8, outlines: UInt8) -> View:
        first, second = (
            pictures.data_uri(pictures.layer(errormap.averaged(part, scale))) for part in (fill, outlines)
        )
        return View(label, detail, alt, first, second)

    views = [
        View("image", "", f"The {said} alone"),
        view(
            "ground truth",
            "",
            f"Ground truth over the {said}",
            errormap.class_fill(image.mask),
            errormap.class_outlines(image.mask),
        ),
    ]
    for model in evidence.models:
        labels = image.maps.get(model.label)
        score = dice.get(model.label, float("nan"))
        shown = "Dice undefined" if isnan(score) else f"Dice {100 * score:.1f} %"
        if labels is not None:
            views.append(
                view(
                    model.title,
                    shown,
                    f"Errors of {model.title} on the {said}, {shown}",
                    errormap.error_fill(image.mask, labels, colors),
                    errormap.error_outlines(image.mask, labels, colors),
                )
            )
    for label, more, labels in votes:
        views.append(
            view(
                label,
                more,
                f"Differences of the {label} on the {said}, {more}",
                errormap.error_fill(image.mask, labels, colors),
                errormap.error_outlines(image.mask, labels, colors),
            )
        )
    height, wide = photo.shape[:2]
    return Compared(key, title, detail, pictures.data_uri(pictures.photo(photo)), wide, height, tuple(views))


def image_key(evidence: Evidence, dataset: str, sample: str) -> str:
    """Return how the page's viewer knows an image: its dataset's place in the study, and its id as shown."""
    place = [data.label for data in evidence.datasets].index(dataset)
    return json.dumps([place, visible(sample)], ensure_ascii=False)


def size(row: Compared) -> int:
    """Return the bytes that a row adds to a page, in which equal outlines are held once."""
    fills = sum(len(view.fill) for view in row.views)
    return len(row.photo) + fills + sum(map(len, {view.outline for view in row.views}))


def legend(data: DatasetFacts, colors: ErrorColors) -> tuple[tuple[str, str], ...]:
    """Return swatch and meaning of each color in rows of this dataset."""
    items = [
        (color_key(colors.hit), "right (TP), or both outlines"),
        (color_key(colors.extra), "added (FP), or the outline of the prediction"),
        (color_key(colors.missed), "missed (FN), or the outline of the ground truth"),
    ]
    if len(data.classes) > 1:
        items.append(
            (
                color_key(colors.swapped),
                "another class (both have foreground), or the outlines of two classes",
            )
        )
        items += [
            (_picture(pictures.swatch(index + 1)), f"{name} (ground truth)")
            for index, name in enumerate(data.classes)
        ]
    else:
        items.append((_picture(pictures.swatch(1)), f"{data.classes[0]} (ground truth)"))
    return tuple(items)


def color_key(color: Sequence[int]) -> str:
    """Return the swatch of a color for a legend."""
    square = svg.tag("rect", width=16, height=16, fill=f"rgb({', '.join(map(str, color))})")
    return svg.tag("svg", square, viewBox="0 0 16 16", class_="key", aria_hidden="true")


def _picture(source: str) -> str:
    return svg.tag("img", src=source, alt="", class_="key").replace("/>", ">")
