"""Subgroups: per-image scores by what is known of the images, and whether differences depend on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.inference.distributions import scipy_part
from bench_core.analysis.inference.field import Field, field_of
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import board
from bench_core.analysis.subgroup_tests import Dependence, dependences
from bench_core.analysis.subgroups import Levels, known_levels, subgroups
from bench_core.errors import MissingDependencyError, StoreError
from bench_core.install import install_command
from bench_core.report import names
from bench_core.report.blocks import Block, Callout, Choice, Details, Prose, Section
from bench_core.report.names import listed, plural
from bench_core.report.sections.subgroup_tables import (
    Means,
    attribute_title,
    means_figure,
    means_table,
    tests_table,
)
from bench_core.samples import PREFIX

TITLE = "Subgroups"
LEAD = "A mean over all images can hide a group that is segmented worse; few images make a mean unsure."
SCATTERED = 2
"""Models whose images are drawn: the leader and the best of another family, or the second."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return, for each dataset, figure and table of each attribute, and the tests of dependence on them."""
    found = quantity(evidence, str(options["metric"]))
    scores = board(evidence, found)
    order = names.ordered(evidence, scores)
    blocks: list[Block] = []
    samples = int(options["samples"])
    try:
        scipy_part("special")
    except MissingDependencyError as error:
        samples = 0
        blocks.append(Callout("note", f"Without intervals: {error.message}.", code=install_command("report")))
    without, bare = [], []
    for data in evidence.datasets:
        if not any(evidence.cell(label, data.label).folds for label in order):
            without.append(data.title)
            continue
        levels = known_levels(evidence, data.label, int(options["bins"]))
        wanted = [str(name) for name in options["attributes"]] or list(levels)
        chosen = [levels[name] for name in wanted if name in levels]
        cells = {label: evidence.cell(label, data.label) for label in order}
        means = subgroups(cells, found, chosen, float(options["alpha"]), samples)
        if chosen and means:
            field = field_of(evidence, scores, data.label)
            tests = dependences(field, chosen, float(options["alpha"])) if field is not None else ()
            blocks += _dataset(
                evidence, data, found, list(levels.values()), chosen, means, field, tests, options
            )
        else:
            without.append(data.title)
        if not _looked_at(evidence, data.label) and any(
            name.startswith(PREFIX) for name in options["attributes"] or [PREFIX]
        ):
            bare.append(data.title)
    if without:
        blocks.append(Prose((f"No attribute to group by, or no finished fold: {listed(without)}.",)))
    if bare:
        text = (
            "Size, contrast, border contact, components and sharpness are not known for all tested images of "
            f"{listed(bare)}: results are older than these attributes, or the kept description was lost. "
            "This computes them from the data:"
        )
        blocks.append(Callout("note", text, code=names.bench(evidence, "data check")))
    return Section("subgroups", TITLE, tuple(blocks), LEAD)


def _looked_at(evidence: Evidence, dataset: str) -> bool:
    """Say whether the automatic attributes of all tested images are kept."""
    try:
        ids, columns = evidence.samples(dataset).ids, evidence.attributes(dataset)
    except StoreError:
        return False
    size = columns.get(f"{PREFIX}size")
    if size is None:
        return False
    known = {sample for sample, value in zip(ids, size, strict=True) if value is not None}
    return all(
        known.issuperset(fold.counts.ids)
        for (_, label), cell in evidence.cells.items()
        if label == dataset
        for fold in cell.folds
    )


def _dataset(
    evidence: Evidence,
    data: DatasetFacts,
    found: Quantity,
    known: Sequence[Levels],
    chosen: Sequence[Levels],
    means: Mapping[str, Means],
    field: Field | None,
    tests: Sequence[Dependence],
    options: Mapping[str, Any],
) -> list[Block]:
    drawn = _drawn(evidence, field, list(means))
    shown: list[tuple[str, tuple[Block, ...]]] = []
    for levels in chosen:
        mine = {label: by_attribute[levels.attribute] for label, by_attribute in means.items()}
        points = {label: _points(evidence, data.label, found, levels, label) for label in drawn}
        scattered = {label: items for label, items in points.items() if items}
        blocks = (
            means_figure(evidence, data, found, levels, mine, scattered),
            means_table(evidence, data, found, levels, mine, known.index(levels)),
        )
        shown.append((levels.attribute, blocks))
    found_blocks: list[Block] = []
    if tests:
        found_blocks.append(Prose((_headline(evidence, data, tests),)))
    if len(shown) == 1:
        found_blocks += shown[0][1]
    else:
        found_blocks.append(Choice(f"subgroups-{data.label}-{found.name}", data.title, tuple(shown)))
    if tests:
        table = tests_table(evidence, data, found, tests, float(options["alpha"]))
        found_blocks.append(Details(f"{data.title}: tests of dependence", (table,)))
    return found_blocks


def _headline(evidence: Evidence, data: DatasetFacts, tests: Sequence[Dependence]) -> str:
    leader = evidence.model(tests[0].reference).title
    counted = Counter(test.attribute for test in tests if test.verdict == "depends")
    models = len({test.model for test in tests})
    judged = sum(test.verdict != "cannot be judged" for test in tests)
    if not judged:
        return (
            f"{data.title}: whether differences depend on an attribute cannot be judged, with too few groups."
        )
    if not counted:
        return (
            f"{data.title}: for no model is its difference to {leader} shown to depend on an attribute "
            f"({plural(judged, 'test')}, corrected together)."
        )
    parts = [f"{attribute_title(name)} ({number} of {models} models)" for name, number in counted.items()]
    return f"{data.title}: differences to {leader} are shown to depend on {listed(parts)}."


def _drawn(evidence: Evidence, field: Field | None, labels: Sequence[str]) -> list[str]:
    if field is None:
        return list(labels[:1])
    order = field.quantity.scale(field.dataset).order
    ranked = sorted(
        (label for label in field.models if label != field.leader),
        key=lambda label: order(sum(field.models[label].folds.values())),
    )
    family = field.families[field.leader]
    rivals = [label for label in ranked if field.families[label] != family] or ranked
    return [field.leader, *rivals][:SCATTERED]


def _points(
    evidence: Evidence, dataset: str, found: Quantity, levels: Levels, label: str
) -> list[tuple[float, float]]:
    """Return value and score of the tested images of a model, of an attribute that is numbers."""
    return [
        (levels.numbers[sample], score)
        for fold in evidence.cell(label, dataset).folds
        if found.has(fold)
        for sample, score in zip(fold.counts.ids, found.of_images(fold).tolist(), strict=True)
        if sample in levels.numbers and score == score
    ]
