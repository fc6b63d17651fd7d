"""Two models of a study, asked about on each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Compared, Settings, corrected, judge, rank_test
from bench_core.analysis.inference.field import Field, field_of, other_track
from bench_core.analysis.inference.paired import View
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Board, board


@dataclass(frozen=True)
class Question:
    """What is asked."""

    model: str
    reference: str
    metric: str = "mdsc"
    view: View = "pooled"
    margin: float = 1.0
    """In points, or in the metric's unit."""
    alpha: float = 0.05
    planned: bool = False
    """Whether this pair was chosen before there were results: p-values are not corrected then."""


@dataclass(frozen=True)
class Answered:
    """The answer on one dataset."""

    dataset: str
    quantity: Quantity
    settings: Settings
    compared: Compared | None
    """None where the two cannot be compared."""
    reason: str = ""
    """Why not."""
    signed_ranks: float | None = None
    """p-value of Wilcoxon's test over groups, uncorrected; None where no group differs."""


def ask(evidence: Evidence, question: Question, datasets: Sequence[str]) -> tuple[Answered, ...]:
    """Return the answers on these datasets, by the same computation as the report's part `comparisons`."""
    found = quantity(evidence, question.metric)
    scores = board(evidence, found)
    return tuple(_answer(evidence, question, scores, dataset) for dataset in datasets)


def _answer(evidence: Evidence, question: Question, scores: Board, dataset: str) -> Answered:
    found = scores.quantity
    settings = Settings(question.margin / found.scale(dataset).factor, question.alpha)
    track = evidence.model(question.reference).track
    field = field_of(evidence, scores, dataset, track=track)
    for label in (question.model, question.reference):
        reason = why_missing(evidence, scores, field, label, dataset)
        if reason:
            return Answered(dataset, found, settings, None, reason)
    assert field is not None
    view = question.view
    judged = judge(field, view, settings)
    if judged is None:
        view = "images"
        judged = judge(field, view, settings)
        assert judged is not None
    pair = judged.pair(question.model, question.reference)
    if question.planned:
        key = (pair.model, pair.reference)
        pair = corrected({key: pair}, settings.alpha)[key]
    ranks = rank_test(field, view, question.model, question.reference)
    return Answered(dataset, found, settings, pair, signed_ranks=ranks)


def why_missing(evidence: Evidence, scores: Board, field: Field | None, label: str, dataset: str) -> str:
    """Return why a model cannot be compared on a dataset, empty where it can."""
    if field is not None and label in field.models:
        return ""
    if field is not None and label in field.apart:
        return f"{label}: {field.apart[label]}"
    cell, row = evidence.cell(label, dataset), scores.row(label)
    if cell.excluded is not None:
        return f"{label} is excluded there: {cell.excluded}"
    if field is None and evidence.model(label).own_protocol:
        return f"{label}: {other_track(evidence.model(label).track)}"
    if dataset in row.undefined:
        return f"{label}: its score is undefined in every finished fold"
    if dataset not in row.scores:
        return f"{label}: {scores.quantity.awaited}"
    return f"{label}: no other model of its track has the same finished folds"
