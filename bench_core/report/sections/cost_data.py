"""Costs as plain data, for `bench report --json`: every number at full precision, with its machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bench_core.analysis.costs import Costs, Network, Series, front
from bench_core.analysis.scores import Board
from bench_core.report.sections.cost_fronts import points_of
from bench_core.report.sections.cost_tables import lettered


def plain_costs(found: Costs, scores: Board) -> dict[str, Any]:
    """Return networks by formula, amounts by kind of cost and machine, and who is on each Pareto front.

    A machine is called by its letter, as in the tables; None stands for what was counted by formula or is the
    training's own.
    """
    return {
        "step": found.step,
        "metric": scores.quantity.name,
        "machines": {letter: asdict(machine) for machine, letter in lettered(found.machines).items()},
        "networks": [
            {"model": model, "dataset": dataset, **_network(network)}
            for (model, dataset), network in found.networks.items()
        ],
        "costs": [_series(found, item, scores) for item in found.series],
        "unknown": dict(found.unknown),
        "outdated": found.outdated,
    }


def _network(network: Network) -> dict[str, Any]:
    return {
        "parameters": network.parameters,
        "trainable": network.trainable,
        "operations": dict(network.operations) or None,
        "largest": [{"operation": name, "share": share} for name, share in network.largest],
    }


def _series(found: Costs, series: Series, scores: Board) -> dict[str, Any]:
    points = points_of(scores, series)
    return {
        "cost": series.axis.key,
        "unit": series.axis.unit,
        "more_is_better": series.axis.more_is_better,
        "dataset": series.dataset,
        "machine": None if series.machine is None else lettered(found.machines).get(series.machine),
        "trained_on": asdict(series.machine) if series.machine and series.axis.key == "epoch" else None,
        "models": {model: asdict(amount) for model, amount in series.amounts.items()},
        "front": list(front(points)) if len(points) > 1 else None,
    }
