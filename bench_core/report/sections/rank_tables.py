"""Tables of ranks: on each dataset and over all, how far datasets agree, and the order without each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.overall import Overall
from bench_core.analysis.inference.ranking import RankedField, Ranks, Values
from bench_core.report import inference_words as words
from bench_core.report import names
from bench_core.report.keys import ALL, key, within
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.rankplot import percent
from bench_core.report.sections.among import Among
from bench_core.report.tables import Cell, Column, Row, Table, Value, quotes

_FIELDS = ("rank", "low", "high", "first")
IMPUTED = (
    "without a result on a dataset, and counted there as the worst: with the worst score, behind all others"
)


def ranks_table(
    evidence: Evidence,
    group: Among,
    fields: Sequence[RankedField],
    over: Overall | None,
    order: tuple[str, ...],
    settings: Settings,
    footnotes: Footnotes,
) -> Table:
    """Return one row per model: its rank on each dataset, and over all of them in two ways."""
    rows, quantity = [], group.known.quantity
    for label in order:
        if not any(label in field.models for field in fields):
            continue
        facts = evidence.model(label)
        cells = [Cell(facts.title, (label,), notes=footnotes.model(label))]
        cells += [
            _cell(
                field.ranks,
                field.models,
                label,
                settings,
                within(group.prefix, key(field.dataset, label, quantity.name, "rank")),
                _score(field, label),
                True,
            )
            for field in fields
        ]
        imputed = ("†",) if over is not None and label in over.imputed else ()
        cells = [replace(cell, notes=imputed) if cell.text == "–" else cell for cell in cells]
        if over is not None:
            if over.by_score is not None:
                name = within(group.prefix, key(ALL, label, quantity.name, "rank-of-mean"))
                mean = _of(over, over.scores, label)
                cell = _cell(over.by_score, over.models, label, settings, name, mean)
                cells.append(replace(cell, notes=imputed))
            name = within(group.prefix, key(ALL, label, quantity.name, "rank"))
            cell = _cell(over.by_rank, over.models, label, settings, name, _of(over, over.mean_ranks, label))
            cells.append(replace(cell, notes=imputed))
        rows.append(Row(tuple(cells), names.group_of(evidence, label)))
    columns = [Column("model", "Model", numeric=False)]
    columns += [
        Column(field.dataset, evidence.dataset(field.dataset).title, (*_FIELDS, "score")) for field in fields
    ]
    if over is not None:
        if over.by_score is not None:
            columns.append(Column("by_score", "By mean score", (*_FIELDS, "mean")))
        columns.append(Column("by_rank", "By mean rank", (*_FIELDS, "mean")))
    what = words.view_title(quantity, fields[0].view)
    return Table(
        name=f"ranks-{group.prefix}{quantity.name}",
        title=f"Ranks in {what}{group.said}",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=_caption(evidence, fields, over, settings),
        notes=(*names.notes_of(footnotes, rows), *((("†", IMPUTED),) if over and over.imputed else ())),
    )


def _caption(
    evidence: Evidence, fields: Sequence[RankedField], over: Overall | None, settings: Settings
) -> str:
    text = (
        f"Rank of the score over all test images, its {words.confidence(settings)} interval and the "
        f"probability of the first rank, by bootstrap over groups ({settings.samples:,} resamples). Equal "
        "models share the mean of their ranks. For these trained networks: another training can change the "
        "order."
    )
    if over is not None:
        text += (
            " By mean score: aggregate, then rank. By mean rank: rank on each dataset, then aggregate; the "
            f"{plural(len(over.models), 'model')} with all datasets are ranked there, among themselves."
        )
        if over.by_score is None:
            text = text.replace(" By mean score: aggregate, then rank.", "")
    left_out = [
        f"{evidence.dataset(field.dataset).title} {field.left_out}" for field in fields if field.left_out
    ]
    if left_out:
        text += f" Tested images left out, for a model has no score of them: {listed(left_out)}."
    return text


def _score(field: RankedField, label: str) -> float | None:
    return float(field.scores[field.models.index(label)]) if label in field.models else None


def _of(over: Overall, values: Values, label: str) -> float | None:
    return float(values[over.models.index(label)]) if label in over.models else None


def _cell(
    ranks: Ranks,
    models: tuple[str, ...],
    label: str,
    settings: Settings,
    name: str,
    value: float | None,
    dataset: bool = False,
) -> Cell:
    if label not in models:
        return Cell("–", (None,) * 5)
    place = models.index(label)
    rank, ends = float(ranks.observed[place]), ranks.interval(place, 1 - settings.alpha)
    first = ranks.first(place)
    if ends is None or first is None:
        values: tuple[Value, ...] = (rank, None, None, None, value)
        quoted = quotes(name, {"": f"{rank:g}"})
        return Cell(f"{rank:g}", values, small="(–)" if dataset else "", quotes=quoted)
    said = {"": f"{rank:g}", "low": str(ends[0]), "high": str(ends[1]), "first": percent(first)}
    said["interval"] = f"{ends[0]} to {ends[1]}"
    small = f"({said['interval']}; {said['first']})"
    return Cell(said[""], (rank, *ends, first, value), small=small, quotes=quotes(name, said))


def agreement_table(evidence: Evidence, group: Among, over: Overall, settings: Settings) -> Table:
    """Return one row per pair of datasets."""
    rows = []
    for item in over.agreements:
        titles = [evidence.dataset(label).title for label in (item.dataset, item.other)]
        between = item.between
        known = item.tau == item.tau
        low, high = between if between is not None else (None, None)
        small = f"({_signed(between[0])} to {_signed(between[1])})" if between is not None else ""
        tau = Cell(_signed(item.tau) if known else "–", (item.tau if known else None, low, high), small=small)
        rows.append(Row((Cell(titles[0], (item.dataset,)), Cell(titles[1], (item.other,)), tau)))
    return Table(
        name=f"rank-agreement-{group.prefix}{group.known.quantity.name}",
        title=f"How far datasets agree on the order of models{group.said}",
        columns=(
            Column("dataset", "Dataset", numeric=False),
            Column("other", "Other dataset", numeric=False),
            Column("tau", "Kendall's tau", ("", "low", "high")),
        ),
        rows=tuple(rows),
        caption=f"Of {plural(len(over.models), 'model')}: +1 for the same order, −1 for the reverse. In "
        f"brackets where {words.confidence(settings)} of resamples have it: they scatter more than the data, "
        "which pulls it towards 0.",
    )


def without_table(evidence: Evidence, group: Among, over: Overall) -> Table:
    """Return one row per dataset that is left out."""
    rows = []
    for item in over.without:
        moves = np.abs(item.by_rank - over.by_rank.observed)
        most = float(moves.max())
        moved = [label for label, move in zip(over.models, moves, strict=True) if move == most > 0]
        cells = [Cell(evidence.dataset(item.dataset).title, (item.dataset,))]
        if item.by_score is not None:
            cells.append(_best(evidence, over, item.by_score))
        known = item.tau == item.tau
        cells += [
            _best(evidence, over, item.by_rank),
            Cell(
                f"{most:g}" if moved else "0",
                (most, "; ".join(moved)),
                small=f"({listed((evidence.model(label).title for label in moved), 2)})" if moved else "",
            ),
            Cell(_signed(item.tau) if known else "–", (item.tau if known else None,)),
        ]
        rows.append(Row(tuple(cells)))
    columns = [Column("without", "Without", numeric=False)]
    if over.by_score is not None:
        columns.append(Column("best_score", "Best mean score", numeric=False))
    columns += [
        Column("best_rank", "Best mean rank", numeric=False),
        Column("moved", "Largest change of rank", ("", "models")),
        Column("tau", "Kendall's tau with all"),
    ]
    return Table(
        name=f"rank-without-{group.prefix}{group.known.quantity.name}",
        title=f"The order when a dataset is left out{group.said}",
        columns=tuple(columns),
        rows=tuple(rows),
        caption="Change of rank and Kendall's tau are of the order by mean rank."
        + (
            f" † {listed(evidence.model(label).title for label in over.imputed)}: {IMPUTED}"
            if over.imputed
            else ""
        ),
    )


def _best(evidence: Evidence, over: Overall, ranks: Values) -> Cell:
    best = [label for label, rank in zip(over.models, ranks, strict=True) if rank == ranks.min()]
    return Cell(listed((evidence.model(label).title for label in best), 3), ("; ".join(best),))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
