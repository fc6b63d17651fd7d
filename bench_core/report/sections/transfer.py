"""Networks on datasets that they were not trained on: what is lost against home, and whose rank changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.moved import Moved, MovedScore, Order, moved, order
from bench_core.analysis.inference.ranking import mean_ranks
from bench_core.analysis.quantity import pooled
from bench_core.analysis.scores import board
from bench_core.analysis.transferred import TransferSet, transfer_sets, vote_sets
from bench_core.declarations import Metric
from bench_core.metrics.scale import Scale, scale_of
from bench_core.report import inference_words as words
from bench_core.report import names
from bench_core.report.blocks import Block, Callout, Prose, Section
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.sections.votes import votes_table
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "On other datasets"
_FOLDS, _ENDS = ("mean", "std", "folds", "planned"), ("low", "high")
_MOST_NAMED = 3
"""Images that a note names; the rest are counted."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return for each other dataset and each that networks were trained on: scores, classes, references."""
    metric = evidence.metrics[str(options["metric"])]
    settings = Settings(alpha=float(options["alpha"]), samples=int(options["samples"]))
    ranked = names.ordered(evidence, board(evidence, pooled(metric)))
    footnotes = Footnotes(evidence)
    blocks: list[Block] = []
    sets = transfer_sets(evidence)
    for found in sets:
        scores = moved(found, metric, settings)
        labels = [label for label in ranked if label in scores]
        blocks.append(_scores(evidence, found, scores, labels, metric, settings, footnotes))
        blocks += _notes(evidence, found, order(found, scores, metric, settings), settings)
        if len(found.classes) > 1:
            blocks.append(_classes(evidence, found, scores, labels, metric, settings))
        blocks += _references(evidence, found, scores, labels, metric)
    for votes in vote_sets(evidence, sets):
        blocks.append(votes_table(evidence, votes, ranked, metric, settings, footnotes))
    if sets:
        blocks.append(_data(evidence, sets))
    lead = "Finished networks predict images of another origin, which they have not seen. Nothing is trained."
    return Section("transfer", TITLE, tuple(blocks), lead if blocks else "")


def _scores(
    evidence: Evidence,
    found: TransferSet,
    scores: Mapping[str, Moved],
    labels: list[str],
    metric: Metric,
    settings: Settings,
    footnotes: Footnotes,
) -> Table:
    scale, home = scale_of(metric), evidence.dataset(found.source).title
    places = {label: _places(scores, found, scale, label) for label in labels}
    rows = []
    for label in labels:
        mine, planned = scores[label], found.planned[label]
        cells = (
            Cell(evidence.model(label).title, (label,), notes=footnotes.model(label)),
            _over_folds(mine.home, planned, scale),
            _over_folds(mine.there, planned, scale),
            _interval(mine.there, scale),
            Cell(scale.signed(-mine.drop), (-mine.drop,)) if mine.drop == mine.drop else _undefined(1),
            Cell(" → ".join(map(_place, places[label])), places[label]),
            Cell(scale.text(mine.images), (mine.images,)) if mine.images == mine.images else _undefined(1),
        )
        rows.append(Row(cells, evidence.model(label).family))
    title = metric.title
    return Table(
        name=f"transfer-{found.step}-{found.source}",
        title=f"Trained on {home}, tested on {found.target.title}: micro {title} in {scale.words}",
        columns=(
            Column("model", "Model", numeric=False),
            Column("home", "At home", _FOLDS),
            Column("there", "There", _FOLDS),
            Column("interval", "Interval there", _ENDS),
            Column("change", "Change"),
            Column("rank", "Rank", ("home", "there")),
            Column("images", "Mean of images"),
        ),
        rows=tuple(rows),
        caption=f"All folds are tested on the same {plural(len(found.ids), 'image')} in "
        f"{plural(len(set(found.groups)), 'group')} there, so ± (standard deviation over folds, n − 1) is "
        "the variation of training alone; at home each fold has test images of its own. At home the same "
        "classes are scored: label maps and masks are mapped as there. Interval: "
        f"{words.confidence(settings)}, bootstrap over groups of the mean over folds; – where groups are too "
        f"few. It is about other images of this kind, for these networks. Change: there minus home, in "
        f"{scale.points}. Rank: home → there. Mean of images: there.",
        notes=names.notes_of(footnotes, rows),
    )


def _places(
    scores: Mapping[str, Moved], found: TransferSet, scale: Scale, label: str
) -> tuple[float | None, float | None]:
    """Return a model's rank at home and there among the models whose jobs are all done."""
    whole = [
        name
        for name in found.whole
        if name in scores and not np.isnan([scores[name].home.mean, scores[name].there.mean]).any()
    ]
    if label not in whole or len(whole) < 2:
        return None, None
    sign = 1 if scale.better == "higher" else -1
    at = whole.index(label)
    home, there = (
        mean_ranks(np.array([sign * score for score in values]))
        for values in (
            [scores[name].home.mean for name in whole],
            [scores[name].there.mean for name in whole],
        )
    )
    return float(home[at]), float(there[at])


def _notes(evidence: Evidence, found: TransferSet, kept: Order | None, settings: Settings) -> list[Block]:
    blocks: list[Block] = []
    if kept is not None and kept.tau == kept.tau:
        ends = ""
        if kept.between is not None:
            low, high = kept.between
            share = words.confidence(settings)
            ends = f"; between {low:.2f} and {high:.2f} in {share} of resamples of both datasets"
        text = (
            f"Order of {plural(len(kept.models), 'model')} at home and there: Kendall's tau "
            f"{kept.tau:.2f} (1: the same order, 0: none in common, −1: reversed){ends}."
        ).replace("-", "−")
        blocks.append(Prose((text,)))
    if found.left_out:
        some = [f"{mine} (of {theirs})" for mine, theirs in list(found.left_out.items())]
        home = evidence.dataset(found.source).title
        text = (
            f"{plural(len(found.left_out), 'image')} of {found.target.title} "
            f"{'is a copy' if len(found.left_out) == 1 else 'are copies'} of images of {home} and not "
            f"scored: {listed(some, _MOST_NAMED)}."
        )
        blocks.append(Callout("note", text))
    if found.unscored:
        text = f"Not scored, since no class of the networks stands for it: {listed(found.unscored)}."
        blocks.append(Callout("note", text))
    waiting = [
        f"{evidence.model(label).title} ({len(found.models.get(label, ()))}/{planned})"
        for label, planned in found.planned.items()
        if len(found.models.get(label, ())) < planned
    ]
    if waiting:
        blocks.append(Prose((f"Not ranked, since jobs are missing: {listed(waiting)}.",)))
    return blocks


def _classes(
    evidence: Evidence,
    found: TransferSet,
    scores: Mapping[str, Moved],
    labels: list[str],
    metric: Metric,
    settings: Settings,
) -> Table:
    scale = scale_of(metric)
    rows = []
    for label in labels:
        cells = [Cell(evidence.model(label).title, (label,))]
        for name in found.classes:
            score = scores[label].classes[name]
            value, ends = _over_folds(score, found.planned[label], scale), _interval(score, scale)
            small = f"{value.small} ({ends.text})" if score.interval is not None else value.small
            cells.append(Cell(value.text, (*value.values, *ends.values), small=small))
        rows.append(Row(tuple(cells), evidence.model(label).family))
    return Table(
        name=f"transfer-classes-{found.step}-{found.source}",
        title=f"Trained on {evidence.dataset(found.source).title}, tested on {found.target.title}: "
        f"{metric.of_class} by class in {scale.words}",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"class{place}", name, (*_FOLDS, *_ENDS)) for place, name in enumerate(found.classes)),
        ),
        rows=tuple(rows),
        caption=f"Mean ± standard deviation over folds, {words.confidence(settings)} intervals; as above.",
    )


def _references(
    evidence: Evidence,
    found: TransferSet,
    scores: Mapping[str, Moved],
    labels: list[str],
    metric: Metric,
) -> list[Block]:
    """Return published scores of networks that were trained on this dataset, among others, beside the own."""
    home = evidence.dataset(found.source)
    known = [
        item
        for item in found.target.references
        if home.name in item.trained and item.metric == metric.name and found.target.classes == found.classes
    ]
    if not known:
        return []
    scale = scale_of(metric)
    rows = [
        Row(
            (
                Cell(item.model),
                Cell(item.training),
                Cell(scale.text(item.value), (item.value,)),
                Cell(item.source),
            )
        )
        for item in known
    ]
    rows += [
        Row(
            (
                Cell(evidence.model(label).title),
                Cell(f"{home.title}, this study"),
                Cell(scale.text(scores[label].images), (scores[label].images,)),
                Cell("here"),
            )
        )
        for label in labels
        if scores[label].images == scores[label].images
    ]
    return [
        Table(
            name=f"transfer-published-{found.step}-{found.source}",
            title=f"Published scores on {found.target.title}: {metric.title} in {scale.words}, over images",
            columns=(
                Column("model", "Model", numeric=False),
                Column("training", "Trained on", numeric=False),
                Column("value", metric.title),
                Column("source", "Source", numeric=False),
            ),
            rows=tuple(rows),
            caption="Orders of magnitude to hold one's own against: training images, sizes, weights and "
            "thresholds differ, and those networks are trained on all the named datasets together.",
        )
    ]


def _data(evidence: Evidence, sets: tuple[TransferSet, ...]) -> Table:
    rows = []
    for found in sets:
        cells = (
            Cell(found.target.title, (found.target.label,)),
            Cell(evidence.dataset(found.source).title, (found.source,)),
            Cell(found.map or "–"),
            Cell(str(len(found.ids)), (len(found.ids),)),
            Cell(str(len(found.left_out)), (len(found.left_out),)),
            Cell(str(len(set(found.groups))), (len(set(found.groups)),)),
            Cell(found.target.license or "–"),
            Cell(found.fingerprint[:12], (found.fingerprint,)),
        )
        rows.append(Row(cells))
    titles = ("Dataset", "Networks of", "Class map", "Scored", "Left out", "Groups", "License", "Samples")
    keys = ("dataset", "source", "map", "images", "left_out", "groups", "license", "fingerprint")
    numbers = ("images", "left_out", "groups")
    return Table(
        name="transfer-data",
        title="The other datasets, as the jobs saw them",
        columns=tuple(
            Column(key, title, numeric=key in numbers) for key, title in zip(keys, titles, strict=True)
        ),
        rows=tuple(rows),
        caption="Scored: images. Left out: copies of training images. Samples: hash over the files' content.",
    )


def _over_folds(found: MovedScore, planned: int, scale: Scale) -> Cell:
    number = len(found.folds)
    if found.mean != found.mean:
        return Cell("undefined", (None, None, number, planned))
    part = [f"± {scale.text(found.std)}"] if found.std is not None else []
    part += [f"({number}/{planned})"] if number < planned else []
    return Cell(scale.text(found.mean), (found.mean, found.std, number, planned), small=" ".join(part))


def _interval(found: MovedScore, scale: Scale) -> Cell:
    if found.interval is None:
        return Cell("–", (None, None))
    low, high = found.interval.low, found.interval.high
    return Cell(f"{scale.text(low)} to {scale.text(high)}", (low, high))


def _undefined(fields: int) -> Cell:
    return Cell("undefined", (None,) * fields)


def _place(rank: float | None) -> str:
    return "–" if rank is None else f"{rank:g}"
