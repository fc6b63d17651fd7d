"""Votes of a model's folds on another dataset: a table of their own, beside the mean of single networks."""

from __future__ import annotations

from statistics import fmean

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.moved import voted
from bench_core.analysis.transferred import VoteSet
from bench_core.declarations import Metric
from bench_core.metrics import declared
from bench_core.metrics.scale import scale_of
from bench_core.report import inference_words as words
from bench_core.report import names
from bench_core.report.names import Footnotes
from bench_core.report.tables import Cell, Column, Row, Table


def votes_table(
    evidence: Evidence,
    found: VoteSet,
    labels: tuple[str, ...],
    metric: Metric,
    settings: Settings,
    footnotes: Footnotes,
) -> Table:
    """Return one row per model: how many networks vote, the score of the vote, and that of single ones."""
    scale, scores = scale_of(metric), voted(found, metric, settings)
    rows = []
    for label in labels:
        if label not in scores:
            continue
        mine, single = scores[label], None
        if found.single is not None and label in found.single.whole:
            folds = found.single.models[label].values()
            single = fmean(declared.micro(metric, item.there.values) for item in folds)
        ends = mine.interval
        gain = None if single is None else mine.mean - single
        networks = sum(number for number, _ in found.votes[label]) // len(found.votes[label])
        cells = (
            Cell(evidence.model(label).title, (label,), notes=footnotes.model(label)),
            Cell(str(networks), (networks,)),
            _number(mine.mean, scale.text(mine.mean)),
            Cell("–", (None, None))
            if ends is None
            else Cell(f"{scale.text(ends.low)} to {scale.text(ends.high)}", (ends.low, ends.high)),
            _number(single, "" if single is None else scale.text(single)),
            _number(gain, "" if gain is None else scale.signed(gain)),
        )
        rows.append(Row(cells, evidence.model(label).family))
    return Table(
        name=f"votes-{found.step}-{found.source}",
        title=f"Votes of networks trained on {evidence.dataset(found.source).title}, tested on "
        f"{found.target.title}: micro {metric.title} in {scale.words}",
        columns=(
            Column("model", "Model", numeric=False),
            Column("networks", "Networks"),
            Column("vote", "Their vote"),
            Column("interval", "Interval", ("low", "high")),
            Column("single", "Single networks"),
            Column("gain", "Gain"),
        ),
        rows=tuple(rows),
        caption="A vote is the mean of the probabilities of all folds' networks"
        f"{_views(found.views)}. Single networks: mean over folds, where a step `transfer` has them on the "
        f"same images and classes. Interval: {words.confidence(settings)}, bootstrap over groups. Votes are "
        "in no comparison of the study: they cost several networks, and no score at home stands beside them.",
        notes=names.notes_of(footnotes, rows),
    )


def _views(views: str) -> str:
    return f" over views of an image ({views})" if "," in views else ""


def _number(value: float | None, text: str) -> Cell:
    if value is None:
        return Cell("–", (None,))
    return Cell("undefined", (None,)) if value != value else Cell(text, (value,))
