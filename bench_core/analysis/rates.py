"""The learning-rate search: what each rate reached on validation, and which one was chosen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.execute.rate import search_value


@dataclass(frozen=True)
class RateSearch:
    """One cell's search."""

    model: str
    dataset: str
    monitor: str
    grid: tuple[float, ...]
    """Planned rates, largest first."""
    values: Mapping[float, tuple[float, ...]]
    """Rate to the search metric of its finished jobs."""
    planned: int
    finished: int
    chosen: Mapping[float, int]
    """Rate to the number of finished evaluate jobs that trained with it."""
    diverged: frozenset[float] = frozenset()
    """Rates that are not candidates: training at them diverged in a search job."""

    def mean(self, rate: float) -> float | None:
        """Return a rate's mean search metric; None where no job is finished, one is undefined or diverged."""
        values = () if rate in self.diverged else self.values.get(rate, ())
        return fmean(values) if values and not any(math.isnan(value) for value in values) else None

    @property
    def at_edge(self) -> tuple[float, ...]:
        """Chosen rates that are the largest or smallest of a grid of three or more: one beyond may be better.

        Below three rates there is nothing but edges, so being at one says nothing.
        """
        if len(self.grid) < 3:
            return ()
        return tuple(rate for rate in self.chosen if rate in (self.grid[0], self.grid[-1]))


def chosen_rates(cell: Cell) -> Mapping[float, int]:
    """Return the rates that a cell's finished evaluate jobs trained with, the most frequent first."""
    rates = (fold.training.learning_rate for fold in cell.folds if fold.training is not None)
    return dict(Counter(rates).most_common())


def rate_search(cell: Cell, diverged: frozenset[float] = frozenset()) -> RateSearch | None:
    """Return a cell's search, or None where the spec fixes the rate; `diverged` rates have no score."""
    if not cell.searches:
        return None
    values: dict[float, list[float]] = {}
    for trial in cell.trials:
        if trial.job.learning_rate is not None:
            value = search_value(trial.result, trial.job.search_monitor)
            values.setdefault(trial.job.learning_rate, []).append(value)
    grid = {job.learning_rate for job in cell.searches if job.learning_rate is not None}
    return RateSearch(
        model=cell.model,
        dataset=cell.dataset,
        monitor=cell.searches[0].search_monitor,
        grid=tuple(sorted(grid, reverse=True)),
        values={rate: tuple(found) for rate, found in values.items()},
        planned=len(cell.searches),
        finished=len(cell.trials),
        chosen=chosen_rates(cell),
        diverged=diverged,
    )


def searches(evidence: Evidence) -> tuple[RateSearch, ...]:
    """Return all cells' searches, in the order of the matrix."""
    lost: dict[tuple[str, str], set[float]] = {}
    for gap in evidence.gaps:
        if gap.diverged and gap.job.stage == "search" and gap.job.learning_rate is not None:
            lost.setdefault(gap.job.cell, set()).add(gap.job.learning_rate)
    found = (rate_search(cell, frozenset(lost.get(key, ()))) for key, cell in evidence.cells.items())
    return tuple(item for item in found if item is not None)
