"""Whether one family of models is better than another: labels dealt anew, and a mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.family import FamilyEffect, Interaction, family_effect, interaction
from bench_core.analysis.inference.ranks import holm
from bench_core.metrics.scale import Scale, common_scale
from bench_core.report import inference_words as words
from bench_core.report.blocks import Block, Prose, Section
from bench_core.report.names import listed
from bench_core.report.sections.among import Among, among, without_scipy
from bench_core.report.sections.pool_table import ranked_fields
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Is one family better than another"
LEAD = (
    "Here models are the sample, not images: families are compared by their models' scores. The labels of "
    "families are dealt anew among the models, as if they told nothing."
)
LEAST = 2
"""Models that a family needs: of one there is no spread."""


@dataclass(frozen=True)
class _Line:
    first: str
    second: str
    dataset: str
    """Its title, or "Mean over datasets"."""
    label: str
    sizes: tuple[int, int]
    effect: FamilyEffect
    scale: Scale


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one row per pair of families and dataset, and whether the gap differs between datasets."""
    note = without_scipy("families", TITLE)
    if note is not None:
        return note if _families(evidence) else Section("families", TITLE, ())
    blocks: list[Block] = []
    for group in among(evidence, options):
        blocks += _of_group(evidence, group, options)
    if not blocks and evidence.spec.analyses is not None:
        blocks.append(Prose((f"No two families have {LEAST} models each that can be compared.",)))
    return Section("families", TITLE, tuple(blocks), LEAD)


def _families(evidence: Evidence) -> bool:
    sizes = [sum(model.family == family for model in evidence.models) for family in evidence.families]
    return sum(size >= LEAST for size in sizes) > 1


def _of_group(evidence: Evidence, group: Among, options: Mapping[str, Any]) -> list[Block]:
    settings = Settings(alpha=float(options["alpha"]), samples=200)
    lines, moved, left = _lines(evidence, group, options, settings)
    if not lines:
        return []
    adjusted = _adjusted(lines)
    said = [
        _sentence(line, adjusted[place], settings) for place, line in enumerate(lines) if _main(lines, line)
    ]
    for (first, second), found in moved.items():
        verb = "differs" if found.p < settings.alpha else "is not shown to differ"
        said.append(
            f"The gap between {first} and {second} {verb} between datasets (labels dealt among what is left "
            f"after each model's mean, and Welch's tests: {words.p_said(found.p)})."
        )
    if left:
        said.append(f"Left out of the mean over datasets, for they lack one: {listed(left)}.")
    return [Prose(tuple(said)), _table(group, lines, adjusted, settings, options)]


def _lines(
    evidence: Evidence, group: Among, options: Mapping[str, Any], settings: Settings
) -> tuple[list[_Line], dict[tuple[str, str], Interaction], list[str]]:
    fields = ranked_fields(group, options["view"], settings)
    quantity = group.known.quantity
    sign = -1.0 if quantity.metric.better == "lower" else 1.0
    scores = {field.dataset: dict(zip(field.models, sign * field.goodness, strict=True)) for field in fields}
    scale = common_scale(quantity.scale(dataset) for dataset in scores)
    complete = [
        model.label
        for model in group.inside.models
        if model.track == group.track and all(model.label in found for found in scores.values())
    ]
    lines: list[_Line] = []
    moved: dict[tuple[str, str], Interaction] = {}
    for first, second in combinations(group.inside.families, 2):
        for dataset, found in scores.items():
            sides = _sides(evidence, list(found), first, second)
            if sides is not None:
                one, other = (np.array([found[label] for label in side]) for side in sides)
                effect = family_effect(one, other, alpha=settings.alpha)
                title = evidence.dataset(dataset).title
                sizes = len(one), len(other)
                lines.append(_Line(first, second, title, dataset, sizes, effect, quantity.scale(dataset)))
        sides = _sides(evidence, complete, first, second)
        if sides is None or scale is None or len(scores) < 2:
            continue
        whole = [_matrix(scores, side) for side in sides]
        effect = family_effect(whole[0].mean(axis=1), whole[1].mean(axis=1), alpha=settings.alpha)
        sizes = len(sides[0]), len(sides[1])
        lines.append(_Line(first, second, "Mean over datasets", "", sizes, effect, scale))
        between = interaction(whole[0], whole[1])
        if between is not None:
            moved[first, second] = between
    there = {label for found in scores.values() for label in found}
    left = [evidence.model(label).title for label in sorted(there - set(complete))] if len(scores) > 1 else []
    return lines, moved, left


def _sides(
    evidence: Evidence, labels: list[str], first: str, second: str
) -> tuple[list[str], list[str]] | None:
    one, other = (
        [label for label in labels if evidence.model(label).family == family] for family in (first, second)
    )
    return (one, other) if min(len(one), len(other)) >= LEAST else None


def _matrix(scores: Mapping[str, Mapping[str, float]], side: list[str]) -> NDArray[np.float64]:
    return np.array([[found[label] for found in scores.values()] for label in side])


def _adjusted(lines: list[_Line]) -> dict[int, float]:
    """Return p-values corrected for the pairs of families, on each dataset by itself."""
    found: dict[int, float] = {}
    for label in dict.fromkeys(line.label for line in lines):
        found |= holm({place: line.effect.p for place, line in enumerate(lines) if line.label == label})
    return found


def _main(lines: list[_Line], line: _Line) -> bool:
    """Say whether a sentence is worth its place: that on the mean over datasets, where there is one."""
    means = [item for item in lines if (item.first, item.second) == (line.first, line.second)]
    return line.label == "" or not any(item.label == "" for item in means)


def _sentence(line: _Line, p: float, settings: Settings) -> str:
    effect, scale = line.effect, line.scale
    ahead, behind = line.first, line.second
    if scale.gain(effect.difference, 0.0) < 0:
        ahead, behind = behind, ahead
    size = words.signed(scale, abs(effect.difference)).lstrip("+")
    where = line.dataset if line.label else "Over datasets"
    deals = f"{'all' if effect.exact else 'random'} {effect.deals:,} deals of the labels"
    test = f"{deals}, and Welch's test: {words.p_said(p)}"
    if effect.least_p >= settings.alpha:
        return f"{where}: so few models cannot show whether {ahead} is better than {behind} ({test})."
    if p < settings.alpha:
        return f"{where}: {ahead} models are better than {behind} models by {size} {scale.points} ({test})."
    return f"{where}: {ahead} is not shown to be better than {behind}, {size} {scale.points} ahead ({test})."


def _table(
    group: Among,
    lines: list[_Line],
    adjusted: Mapping[int, float],
    settings: Settings,
    options: Mapping[str, Any],
) -> Table:
    rows = []
    for place, line in enumerate(lines):
        effect, scale = line.effect, line.scale
        ends = effect.interval
        low, high = (ends.low, ends.high) if ends is not None else (None, None)
        cells = (
            Cell(line.dataset, (line.label,)),
            Cell(
                words.signed(scale, effect.difference),
                (effect.difference, low, high, scale.unit),
                small=f"({words.interval_text(scale, ends)})" if ends else "",
            ),
            Cell(words.p_text(adjusted[place]), (adjusted[place], effect.p)),
            Cell(words.p_text(effect.p_dealt), (effect.p_dealt, effect.deals)),
            Cell(words.p_text(effect.p_mixed), (effect.p_mixed,)),
            Cell(words.p_text(effect.p_unequal), (effect.p_unequal,)),
        )
        rows.append(Row(cells, f"{line.first} ({line.sizes[0]}) minus {line.second} ({line.sizes[1]})"))
    quantity = group.known.quantity
    view = words.view_title(quantity, options["view"] if quantity.metric.needs == "counts" else "images")
    lower = ", lower is better" if quantity.metric.better == "lower" else ""
    return Table(
        name=f"families-{group.prefix}{quantity.name}",
        title=f"Differences of families in {view}{lower}{group.said}",
        columns=(
            Column("dataset", "Dataset", numeric=False),
            Column("difference", "Difference", ("mean", "low", "high", "unit")),
            Column("p", "p", ("holm", "raw")),
            Column("p_dealt", "Labels dealt", ("", "deals")),
            Column("p_mixed", "Mixed model"),
            Column("p_unequal", "Unequal spread"),
        ),
        rows=tuple(rows),
        caption="Mean of the models of one family minus that of the other, the numbers of models beside "
        "their names. Labels dealt: permutation of the labels. Mixed model: score by family and dataset, a "
        "random effect for each model; with unequal spread a variance for each family, as the "
        f"{words.confidence(settings)} interval has it. p: the larger of labels dealt and unequal spread, "
        "corrected for the pairs of families (Holm); the others are not. All speak of models like these, "
        "chosen as these were.",
    )
