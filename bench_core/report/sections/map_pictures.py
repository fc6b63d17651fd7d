"""Image, truth, predictions and heat maps of all models side by side, chosen by what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.explained import MapSet
from bench_core.analysis.heat import Heat, heat_maps
from bench_core.analysis.pictured import ImageScores, PicturedImage, defined, image_scores
from bench_core.analysis.wanted import pictured_images, with_maps_of
from bench_core.declarations import IGNORE
from bench_core.metrics.map_tables import MapKind, MapLayer
from bench_core.report import comparing, errormap, heatmap, pictures
from bench_core.report.blocks import Compared, Comparison, View
from bench_core.report.colors import ErrorColors, standing_out
from bench_core.report.sections.map_tables import TARGETS

WIDTHS = (256, 208, 176, 144)
FILTERS = ("dataset", "images", "class", "method", "target", "layer", "model")
_DECODER, _AUTO = "decoder", "auto"
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Row:
    """One image and class of a set."""

    found: MapSet
    image: PicturedImage
    of_class: str
    maps: Mapping[str, Sequence[tuple[Heat, str]]]
    """By model, each with its picture, which is empty where there is none."""
    layers: Mapping[str, Mapping[str, MapLayer]]
    """By model and name."""
    colors: ErrorColors
    fold: int | None


def comparison(evidence: Evidence, sets: Sequence[MapSet], count: int, budget: int) -> Comparison | None:
    """Return pictures of `count` images of each set and class, within a number of bytes; None for none."""
    by_data: dict[str, list[MapSet]] = {}
    for found in sets:
        by_data.setdefault(found.dataset, []).append(found)
    of_sets: dict[MapSet, list[_Row]] = {}
    for mine in by_data.values():
        of_sets |= _rows(evidence, mine, count)
    rows = [row for found in sets for row in of_sets[found]]
    if not rows:
        return None
    drawn: list[Compared] = []
    for width in WIDTHS:
        drawn = [_drawn(evidence, row, width) for row in rows]
        if sum(map(comparing.size, drawn)) <= budget:
            break
    drawn = _within(drawn, budget)
    if not drawn:
        return None
    usual = _usual(drawn)
    return Comparison(
        name="maps",
        rows=tuple(drawn),
        keys=_keys(rows[0].colors),
        filters={name: usual[name] for name in FILTERS},
        layers=("heat map", "outlines", "nothing"),
        together=True,
    )


def _within(drawn: Sequence[Compared], budget: int) -> list[Compared]:
    """Return as many rows as there is room for, sets and classes in turn."""
    turns: Counter[tuple[str, ...]] = Counter()
    order = []
    for place, row in enumerate(drawn):
        key = tuple(row.facets.values())
        order.append((turns[key], place))
        turns[key] += 1
    kept, left = [], budget
    for _, place in sorted(order):
        left -= comparing.size(drawn[place])
        if left >= 0:
            kept.append(place)
    return [drawn[place] for place in sorted(kept)]


def _rows(evidence: Evidence, sets: Sequence[MapSet], count: int) -> dict[MapSet, list[_Row]]:
    """Return the rows of each set of one dataset.

    A dataset has many maps and label maps: images are chosen for all sets and classes first, and what belongs
    to these alone is read, once.
    """
    data = evidence.dataset(sets[0].dataset)
    scores = image_scores(evidence, data.label)
    looked = {found: _looked(found) for found in sets}
    every = {sample for counter in looked.values() for _, sample in counter}
    pictured = pictured_images(evidence, data.label, every)
    chosen = {
        (found, of_class): _chosen(counter, of_class, pictured, scores, count)
        for found, counter in looked.items()
        for of_class in data.classes
    }
    taken = {sample: pictured[sample] for samples in chosen.values() for sample in samples}
    models = dict.fromkeys(taken, tuple(model.label for model in evidence.models))
    images = with_maps_of(evidence, data.label, taken, models)
    rows: dict[MapSet, list[_Row]] = {}
    for found in sets:
        wanted = {of_class: chosen[found, of_class] for of_class in data.classes}
        heats = _heats(found, wanted)
        layers = {label: mapped.layers for label, mapped in found.models.items()}
        rows[found] = []
        for of_class, samples in wanted.items():
            samples = [sample for sample in samples if (of_class, sample) in heats]
            if samples:
                colors = standing_out([images[sample].image for sample in samples])
                rows[found] += [
                    _Row(
                        found,
                        images[sample],
                        of_class,
                        heats[of_class, sample],
                        layers,
                        colors,
                        scores.fold(sample),
                    )
                    for sample in samples
                ]
    return rows


def _chosen(
    looked: Mapping[tuple[str, str], int],
    of_class: str,
    pictured: Collection[str],
    scores: ImageScores,
    count: int,
) -> list[str]:
    """Return images of a set that have a picture: those of most models' maps first, then the worst."""

    def order(sample: str) -> tuple[float, float, str]:
        known = defined(scores.of(sample))
        return -looked[of_class, sample], fmean(known) if known else 2.0, sample

    return sorted((sample for name, sample in looked if name == of_class and sample in pictured), key=order)[
        :count
    ]


def _heats(
    found: MapSet, wanted: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], dict[str, list[tuple[Heat, str]]]]:
    """Return the maps of the images that are wanted of each class, by class and image, then by model."""
    maps: dict[tuple[str, str], dict[str, list[tuple[Heat, str]]]] = {}
    for label, mapped in found.models.items():
        for job in mapped.jobs:
            for heat in heat_maps(job, wanted):
                mine = maps.setdefault((heat.kind.of_class, heat.sample), {})
                mine.setdefault(label, []).append((heat, _heat(heat)))
    return maps


def _looked(found: MapSet) -> Counter[tuple[str, str]]:
    """Return how many models have maps of each class and image."""
    return Counter(
        key
        for mapped in found.models.values()
        for key in {
            (kind.of_class, sample)
            for table in mapped.tables
            for sample, kind in zip(table.images, table.kinds, strict=True)
        }
    )


def _drawn(evidence: Evidence, row: _Row, width: int) -> Compared:
    data = evidence.dataset(row.found.dataset)
    label = data.classes.index(row.of_class) + 1
    mask = _only(row.image.mask, label)
    photo, scale = pictures.shrunk(pictures.rgb(row.image.image), width)
    said = f"image {row.image.id}"

    def layer(part: UInt8) -> str:
        return pictures.data_uri(pictures.layer(errormap.averaged(part, scale)))

    truth = View(
        "ground truth",
        row.of_class,
        f"Ground truth of {row.of_class} over the {said}",
        layer(errormap.class_fill(np.where(mask == 1, label, mask).astype(np.uint8))),
        layer(errormap.class_outlines(np.where(mask == 1, label, mask).astype(np.uint8))),
    )
    views = [View("image", "", f"The {said} alone"), truth]
    for model in evidence.models:
        labels, outlines = row.image.maps.get(model.label), truth.outline
        if labels is not None:
            predicted = _only(labels, label)
            outlines = layer(errormap.error_outlines(mask, predicted, row.colors))
            views.append(
                View(
                    model.title,
                    "prediction",
                    f"Errors of {model.title} on the {said}",
                    layer(errormap.error_fill(mask, predicted, row.colors)),
                    outlines,
                    {"model": model.title},
                )
            )
        kinds = row.maps.get(model.label, ())
        names = _layer_names([heat.kind for heat, _ in kinds], row.layers.get(model.label, {}))
        for heat, drawn in kinds:
            kind = heat.kind
            target = TARGETS.get(kind.target, kind.target)
            facets = {
                "method": kind.method,
                "target": target,
                "layer": names[kind.layer],
                "model": model.title,
            }
            note = f"{kind.layer}, {kind.method}" + (f" ({heat.words})" if heat.words else "")
            alt = f"Map of {model.title}, layer {kind.layer}, {kind.method}, {target}, on the {said}"
            views.append(View(model.title, note, alt, drawn, outlines, facets))
    height, wide = photo.shape[:2]
    return Compared(
        key="",
        title=f"{data.title}: {row.of_class}",
        detail=f"{row.image.id}" + ("" if row.fold is None else f", fold {row.fold}"),
        photo=pictures.data_uri(pictures.photo(photo)),
        width=wide,
        height=height,
        views=tuple(views),
        facets={"dataset": data.title, "images": row.found.step, "class": row.of_class},
    )


def _heat(heat: Heat) -> str:
    if heat.values is None:
        return ""
    return pictures.data_uri(pictures.layer(heatmap.heat_layer(heat.values)))


def _layer_names(kinds: Sequence[MapKind], layers: Mapping[str, MapLayer]) -> dict[str, str]:
    """Return what layers of all models are chosen by, since each network names its own."""
    found = {}
    for kind in dict.fromkeys(kinds):
        known = layers.get(kind.layer)
        part = "layer" if known is None else known.part
        found[kind.layer] = part if part in (_DECODER, _AUTO) else f"{part}, stride {kind.stride:g}"
    return found


def _usual(rows: Sequence[Compared]) -> dict[str, str]:
    """Return what is shown first: of the first row with a map, the layer that most models have.

    Of several, it is the deepest but one of the encoder: the deepest has few cells to tell anything by, and
    the decoder's is nearly the prediction again.
    """
    row = next((row for row in rows if any(view.fill for view in _maps(row))), rows[0])
    seen = [view for view in _maps(row) if view.fill] or _maps(row)
    method, target = seen[0].facets["method"], seen[0].facets["target"]
    models: dict[str, set[str]] = {}
    for view in seen:
        if (view.facets["method"], view.facets["target"]) == (method, target):
            models.setdefault(view.facets["layer"], set()).add(view.facets["model"])
    most = max(map(len, models.values()))
    known = [name for name, found in models.items() if len(found) == most and name != _DECODER]
    layer = known[-2] if len(known) > 1 else known[0] if known else next(iter(models))
    return {**row.facets, "method": method, "target": target, "layer": layer, "model": ""}


def _maps(row: Compared) -> list[View]:
    return [view for view in row.views if "layer" in view.facets]


def _only(labels: UInt8, label: int) -> UInt8:
    """Return 1 where a label map has this label, what is ignored as it is, 0 elsewhere."""
    return np.where(labels == IGNORE, IGNORE, labels == label).astype(np.uint8)


def _keys(colors: ErrorColors) -> tuple[tuple[str, str], ...]:
    return (
        (heatmap.heat_key(), "map, from 0 to its largest value"),
        (comparing.color_key(colors.hit), "right (TP), or both outlines"),
        (comparing.color_key(colors.extra), "added (FP), or the outline of the prediction"),
        (comparing.color_key(colors.missed), "missed (FN), or the outline of the ground truth"),
    )
