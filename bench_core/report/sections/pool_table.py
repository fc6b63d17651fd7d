"""Each model's rank in each pool, all of them computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.overall import overall
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.ranking import RankedField, Ranks
from bench_core.analysis.pools import pools_of
from bench_core.metrics.scale import common_scale
from bench_core.report import inference_words as words
from bench_core.report import names
from bench_core.report.names import listed, plural
from bench_core.report.rankplot import percent
from bench_core.report.sections.among import Among, among
from bench_core.report.tables import Cell, Column, Row, Table

FIELDS = ("rank", "low", "high", "first")


def ranked_fields(group: Among, view: View, settings: Settings) -> list[RankedField]:
    """Return the datasets on which models of the group can be ranked."""
    found = (group.known.ranked(data.label, view, settings, group.track) for data in group.inside.datasets)
    return [field for field in found if field is not None]


def pools_table(evidence: Evidence, options: Mapping[str, Any]) -> Table | None:
    """Return one row per model with its rank in each pool; None where the spec names no pool."""
    pools = pools_of(evidence)
    if len(pools) < 2:
        return None
    settings = Settings(alpha=float(options["alpha"]), samples=int(options["samples"]))
    standings = {name: _standings(evidence, options, name, settings) for name in pools}
    quantity = next(among(evidence, options)).known.quantity
    order = names.ordered(evidence, next(among(evidence, options, "all")).known.board)
    rows = []
    for label in order:
        cells = [_cell(standings[name], label, settings, label in pools[name].models) for name in pools]
        title = evidence.model(label).title
        rows.append(Row((Cell(title, (label,)), *cells), names.group_of(evidence, label)))
    view = words.view_title(quantity, options["view"] if quantity.metric.needs == "counts" else "images")
    return Table(
        name=f"pools-{quantity.name}",
        title=f"Ranks in each pool, in {view}",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"pool{place}_{name}", name, FIELDS) for place, name in enumerate(pools)),
        ),
        rows=tuple(rows),
        caption=_caption(evidence, options, settings),
    )


def _caption(evidence: Evidence, options: Mapping[str, Any], settings: Settings) -> str:
    text = (
        "Each pool is a study of its own: folds, ranks, intervals and probabilities are computed among its "
        "models alone. "
    )
    text += (
        "By mean rank over datasets, or on the only dataset that the pool is ranked on; in brackets the "
        f"{words.confidence(settings)} interval and the probability of the first rank. · is not in the pool, "
        "– is in it and has no rank."
    )
    for pool in pools_of(evidence).values():
        text += f" {pool.name}: {pool.words}, {plural(len(pool.models), 'model')}."
        if pool.unknown:
            titles = listed(evidence.model(label).title for label in pool.unknown)
            text += f" Not in it, for no result tells the number of parameters: {titles}."
    if options["impute"] == "worst":
        text += " A model without a result on a dataset counts there as the worst (†)."
    return text


def _standings(
    evidence: Evidence, options: Mapping[str, Any], pool: str, settings: Settings
) -> list[tuple[Ranks, tuple[str, ...], frozenset[str]]]:
    """Return the ranks of each track of a pool, with the models and those of them that are imputed."""
    found = []
    for group in among(evidence, options, pool):
        fields = ranked_fields(group, options["view"], settings)
        scales = (group.known.quantity.scale(field.dataset) for field in fields)
        over = overall(
            fields, common_scale(scales) is not None, 1 - settings.alpha, options["impute"] == "worst"
        )
        if over is not None:
            found.append((over.by_rank, over.models, frozenset(over.imputed)))
        elif len(fields) == 1:
            found.append((fields[0].ranks, fields[0].models, frozenset()))
    return found


def _cell(
    standings: list[tuple[Ranks, tuple[str, ...], frozenset[str]]],
    label: str,
    settings: Settings,
    inside: bool,
) -> Cell:
    for ranks, models, imputed in standings:
        if label in models:
            place = models.index(label)
            rank, ends = float(ranks.observed[place]), ranks.interval(place, 1 - settings.alpha)
            mark = "†" if label in imputed else ""
            first = ranks.first(place)
            if ends is None or first is None:
                return Cell(f"{rank:g}{mark}", (rank, None, None, None), small="(–)")
            said = f"({ends[0]} to {ends[1]}; {percent(first)})"
            return Cell(f"{rank:g}{mark}", (rank, *ends, first), small=said)
    return Cell("–" if inside else "·", (None,) * 4)
