"""What models score against what they cost: Pareto plots, and the best within a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from bench_core.analysis.costs import AXES, Costs, Part, Series, best_within, front
from bench_core.analysis.evidence import Evidence
from bench_core.analysis.scores import Board
from bench_core.errors import UnknownNameError
from bench_core.report import names, svg
from bench_core.report.blocks import Figure, Key, Panel
from bench_core.report.names import listed
from bench_core.report.paretoplot import Point, Sense, pareto_plot
from bench_core.report.sections.cost_tables import figure, lettered
from bench_core.report.tables import Cell, Column, Row, Table

Points = Mapping[str, tuple[float, float]]
"""Model to its cost and the order of its score, both better when lower."""


def points_of(scores: Board, series: Series) -> dict[str, tuple[float, float]]:
    """Return the models of a series that are compared on its dataset; a throughput counts as its inverse."""
    scale = scores.scale(series.dataset)
    found = {}
    for model, amount in series.amounts.items():
        value = scores.row(model).ranked.get(series.dataset)
        if value is not None and amount.value > 0:
            cost = 1 / amount.value if series.axis.more_is_better else amount.value
            found[model] = cost, scale.order(value)
    return found


def figures(evidence: Evidence, found: Costs, scores: Board, part: Part) -> list[tuple[str, Figure]]:
    """Return a figure for each kind of cost of a part: one panel per dataset and machine."""
    shown = []
    for axis in AXES:
        if axis.part != part:
            continue
        panels = tuple(panel for item in found.of(axis) for panel in _panel(evidence, found, scores, item))
        if panels:
            shown.append((f"{axis.title} ({axis.unit})", Figure(panels, _keys(evidence), _CAPTION)))
    return shown


_CAPTION = (
    "Each point is a model, its score the mean over folds that all models have. Ringed models are on the "
    "front: no other is both cheaper and better. The line is the best score for each cost. Differences "
    "between neighbors can be chance; the part on comparisons says which are not."
)


def _keys(evidence: Evidence) -> tuple[Key, ...]:
    return tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))


def _panel(evidence: Evidence, found: Costs, scores: Board, series: Series) -> Iterator[Panel]:
    points, scale = points_of(scores, series), scores.scale(series.dataset)
    if len(points) < 2:
        return
    title = evidence.dataset(series.dataset).title
    metric, axis = scores.quantity.title, series.axis
    drawn = []
    for model in points:
        value = scores.row(model).ranked[series.dataset]
        cost, facts = series.amounts[model].value, evidence.model(model)
        said = f"{scale.text(value)} {scale.sign}, {figure(cost)} {axis.unit}"
        family = names.family_series(evidence, model)
        drawn.append(Point(facts.title, family, cost, scale.factor * value, said))
    ringed = [evidence.model(label).title for label in front(points)]
    plot = pareto_plot(
        f"{metric} against {axis.title.lower()} on {title}",
        (_axis(series), names.axis(metric, scale)),
        drawn,
        ringed,
        Sense(axis.more_is_better, scale.better == "lower"),
    )
    yield Panel(f"{title} · {_letter(found, series)}" if series.machine else title, plot)


def _axis(series: Series) -> str:
    axis = series.axis
    return f"{axis.title} ({axis.unit}{', more is better' if axis.more_is_better else ''})"


def wanted_budgets(given: Mapping[str, object]) -> Mapping[str, Sequence[float]]:
    """Return the budgets of each kind of cost; raise UnknownNameError for what is none."""
    known = {axis.key: axis for axis in AXES}
    found: dict[str, list[float]] = {}
    for key, value in given.items():
        if key not in known:
            raise UnknownNameError(
                f"{key!a:.60} is not a kind of cost", fix=f"choose from {', '.join(known)}, under `budgets`"
            )
        found[key] = [_budget(number) for number in (value if isinstance(value, list) else [value])]
        if not found[key] or not all(0 < number < math.inf for number in found[key]):
            unit = known[key].unit
            raise UnknownNameError(
                f"the budgets of {key} are not numbers above 0",
                fix=f"list some in {unit}: `budgets: {{{key}: [1, 10]}}`",
            )
    return found


def _budget(value: object) -> float:
    """Return a number; NaN for anything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def budget_table(
    evidence: Evidence, found: Costs, scores: Board, budgets: Mapping[str, Sequence[float]]
) -> Table | None:
    """Return the best model within each budget; without any, within what each model of the front costs."""
    rows = [
        row
        for axis in AXES
        for series in found.of(axis)
        for row in _budget_rows(evidence, found, scores, series, budgets.get(axis.key))
    ]
    if not rows:
        return None
    metric = scores.quantity.title
    return Table(
        name=f"{found.step}-budget",
        title=f"At equal cost: the best {metric} within a budget",
        columns=(
            Column("cost", "Cost", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("budget", "Budget"),
            Column("model", "Best within it", numeric=False),
            Column("score", metric, ("", "unit")),
            Column("of", "Of", ("", "all")),
            Column("machine", "Machine", numeric=False),
        ),
        rows=tuple(rows),
        caption="Of: how many of the compared models the budget allows. Budgets that nobody gave are those "
        "from which on another model is the best: what lies between two of them buys nothing more.",
    )


def _budget_rows(
    evidence: Evidence, found: Costs, scores: Board, series: Series, wanted: Sequence[float] | None
) -> Iterator[Row]:
    points, axis, scale = points_of(scores, series), series.axis, scores.scale(series.dataset)
    if len(points) < 2:
        return
    inverse = axis.more_is_better
    limits = [1 / limit if inverse else limit for limit in wanted or ()]
    if wanted is None:
        limits = list(dict.fromkeys(points[label][0] for label in front(points)))
    machine, letter = "", "–"
    if series.machine is not None:
        machine, letter = series.machine.title, _letter(found, series)
    for limit in limits:
        best = best_within(points, limit)
        shown = 1 / limit if inverse else limit
        value = scores.row(best[0]).ranked[series.dataset] if best else None
        titles = listed(evidence.model(label).title for label in best)
        word = "from" if inverse else "up to"
        yield Row(
            (
                Cell(f"{axis.title} ({axis.unit})", (axis.key,)),
                Cell(evidence.dataset(series.dataset).title, (series.dataset,)),
                Cell(f"{word} {figure(shown)}", (shown,)),
                Cell(titles or "none", (" ".join(best),)),
                Cell("–", (None, None)) if value is None else Cell(scale.text(value), (value, scale.unit)),
                Cell(*_share(points, limit)),
                Cell(letter, (machine,)),
            ),
            axis.title,
        )


def _letter(found: Costs, series: Series) -> str:
    """Return the machine's short name; what trained is told by its own."""
    known = lettered(found.machines)
    return "–" if series.machine is None else known.get(series.machine, series.machine.device_name)


def _share(points: Points, limit: float) -> tuple[str, tuple[int, int]]:
    inside = sum(cost <= limit for cost, _ in points.values())
    return f"{inside} of {len(points)}", (inside, len(points))
