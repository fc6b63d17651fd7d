"""Tables and plots of subgroups: each model's mean in each level, and whether differences depend on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.subgroup_tests import Dependence
from bench_core.analysis.subgroups import Levels, Subgroup
from bench_core.metrics.scale import Scale
from bench_core.report import inference_words as words
from bench_core.report import names, svg
from bench_core.report.blocks import Figure, Key, Panel
from bench_core.report.levelplot import LevelPoint, LevelRow, level_plot
from bench_core.report.names import plural
from bench_core.report.scatterplot import scatter_plot
from bench_core.report.tables import Cell, Column, Row, Table
from bench_core.samples import PREFIX

Means = Mapping[str, Sequence[Subgroup]]
"""By model."""
TITLES = {
    "size": "size of the structure, as a share of the image",
    "contrast": "contrast between structure and surroundings, as a share of the full range",
    "border": "border contact, as a share of the image's border",
    "components": "number of components",
    "sharpness": "sharpness (variance of the Laplacian)",
}
"""Of automatic attributes."""
_FIELDS = ("value", "mean", "std", "low", "high", "images", "groups", "undefined")


def attribute_title(name: str) -> str:
    """Return an attribute as headings name it."""
    return TITLES.get(name.removeprefix(PREFIX), name) if name.startswith(PREFIX) else name


def means_table(
    evidence: Evidence, data: DatasetFacts, found: Quantity, levels: Levels, means: Means, place: int
) -> Table:
    """Return one row per model and one column per level that any model's images have."""
    scale = found.scale(data.label)
    present = {group.value for groups in means.values() for group in groups}
    values = [name for name in levels.names if name in present]
    rows = []
    for label, groups in means.items():
        by_value = {group.value: group for group in groups}
        model = evidence.model(label)
        cells = [_cell(scale, by_value.get(value)) for value in values]
        rows.append(Row((Cell(model.title, (label,)), *cells), names.group_of(evidence, label)))
    lower = ", lower is better" if scale.better == "lower" else ""
    return Table(
        name=f"subgroups-{data.label}-{found.name}-{place}",
        title=f"{data.title}: per-image {found.class_title} by {attribute_title(levels.attribute)}, in "
        f"{scale.words}{lower}",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"group{number}", value, _FIELDS) for number, value in enumerate(values)),
        ),
        rows=tuple(rows),
        caption="Mean over the test images of all finished folds (an image's score is the mean over its "
        "classes), with its interval by bootstrap over groups (– where groups are too few), and "
        "the number of images n in g groups."
        + (
            " Ranges of numbers hold about as many samples of the dataset each, the same for all models."
            if levels.numbers
            else ""
        ),
    )


def _cell(scale: Scale, group: Subgroup | None) -> Cell:
    if group is None:
        return Cell("–", (None, None, None, None, None, 0, 0, 0))
    undefined = f", {group.undefined} undefined" if group.undefined else ""
    said = f"n = {group.images}, g = {group.groups}{undefined}"
    counts = (group.images, group.groups, group.undefined)
    if group.mean is None:
        return Cell("undefined", (group.value, None, None, None, None, *counts), small=f"({said})")
    low, high, ends = None, None, "–"
    if group.interval is not None:
        low, high = group.interval.low, group.interval.high
        ends = f"{scale.text(low)} to {scale.text(high)}"
    return Cell(
        scale.text(group.mean),
        (group.value, group.mean, group.std, low, high, *counts),
        small=f"({ends}; {said})",
    )


def means_figure(
    evidence: Evidence,
    data: DatasetFacts,
    found: Quantity,
    levels: Levels,
    means: Means,
    scattered: Mapping[str, Sequence[tuple[float, float]]],
) -> Figure:
    """Return the means as dots with intervals, and of numbers each image's score against its value.

    `scattered` has (value, score) of the images, by model.
    """
    scale, title = found.scale(data.label), attribute_title(levels.attribute)
    axis = names.axis(f"per-image {found.class_title}", scale)
    places = {name: place for place, name in enumerate(levels.names)}
    rows = [
        LevelRow(
            evidence.model(label).title,
            tuple(_point(scale, group, places[group.value]) for group in groups if group.mean is not None),
        )
        for label, groups in means.items()
    ]
    plot = level_plot(f"{found.class_title} by {title} on {data.title}", axis, rows, scale.digits)
    panels = [Panel(f"{data.title} by {title}", plot)]
    for label, points in scattered.items():
        model = evidence.model(label)
        scaled = [(value, scale.factor * score) for value, score in points]
        drawn = scatter_plot(
            f"{found.class_title} of {model.title} against {title} on {data.title}",
            (title, axis),
            scaled,
            names.family_series(evidence, label),
            scale.digits,
        )
        panels.append(Panel(f"{model.title}: every image", drawn))
    keys = tuple(Key(name, svg.marker_key(place)) for name, place in places.items())
    caption = "Means of levels with intervals of the bootstrap over groups."
    if scattered:
        caption += f" Scatter: one dot per test image, {axis} upwards."
    return Figure(tuple(panels), keys, caption)


def _point(scale: Scale, group: Subgroup, place: int) -> LevelPoint:
    low = high = None
    if group.interval is not None:
        low, high = scale.factor * group.interval.low, scale.factor * group.interval.high
    return LevelPoint(place, group.value, scale.factor * (group.mean or 0.0), low, high)


def tests_table(
    evidence: Evidence, data: DatasetFacts, found: Quantity, tests: Sequence[Dependence], alpha: float
) -> Table:
    """Return one row per attribute and model: how its difference to the leader varies, and the test of it."""
    scale, leader = found.scale(data.label), evidence.model(tests[0].reference).title
    rows = []
    for test in tests:
        pairs = list(zip(test.differences, test.levels, strict=True))
        nothing = Cell("–", (None, None))
        ends = [_end(scale, choose(pairs, key=itemgetter(0))) if pairs else nothing for choose in (min, max)]
        rows.append(
            Row(
                (
                    Cell(evidence.model(test.model).title, (test.model,)),
                    *ends,
                    Cell(words.p_text(test.p), (test.p,)),
                    Cell(words.p_text(test.p_adjusted), (test.p_adjusted,)),
                    Cell(test.verdict),
                ),
                attribute_title(test.attribute),
            )
        )
    return Table(
        name=f"subgroup-tests-{data.label}-{found.name}",
        title=f"{data.title}: does the difference to {leader} depend on an attribute? Per-image "
        f"{found.class_title}, in {scale.points}",
        columns=(
            Column("model", "Model", numeric=False),
            Column("least", "Smallest difference", ("value", "level")),
            Column("most", "Largest difference", ("value", "level")),
            Column("p", "p"),
            Column("p_adjusted", "p, Holm"),
            Column("verdict", "Verdict", numeric=False),
        ),
        rows=tuple(rows),
        caption=f"Model minus {leader}, the leader, mean over the images of a level. p: exchange of the two "
        "models within groups after their common difference is taken off; Holm: corrected for all "
        f"{plural(tests[0].tests, 'test')} of the dataset, level {alpha:g}. Levels with fewer than five "
        "groups are left out.",
    )


def _end(scale: Scale, pair: tuple[float, str]) -> Cell:
    return Cell(words.signed(scale, pair[0]), pair, small=f"({pair[1]})")
