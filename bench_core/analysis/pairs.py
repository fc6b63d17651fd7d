"""Two models on the same folds: differences that share training and test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.scores import AVERAGE, Board


@dataclass(frozen=True)
class Pair:
    """`model` minus `reference`, fold by fold."""

    model: str
    reference: str
    dataset: str
    differences: Mapping[int, float]
    """Fold index to difference of the metric (fraction, not points)."""

    @property
    def mean(self) -> float:
        """Mean difference."""
        return fmean(self.differences.values())

    @property
    def std(self) -> float | None:
        """Sample standard deviation of the differences (n - 1); None below two folds."""
        return stdev(self.differences.values()) if len(self.differences) > 1 else None

    @property
    def equal(self) -> bool:
        """True when no fold differs by anything."""
        return not any(self.differences.values())

    @property
    def above(self) -> int:
        """Folds in which `model` scores higher."""
        return sum(value > 0 for value in self.differences.values())

    @property
    def below(self) -> int:
        """Folds in which `model` scores lower."""
        return sum(value < 0 for value in self.differences.values())


def pair(board: Board, model: str, reference: str, dataset: str) -> Pair | None:
    """Return the differences over the folds that both have, or None where there are none."""
    mine = board.row(model).scores.get(dataset)
    theirs = board.row(reference).scores.get(dataset)
    if mine is None or theirs is None:
        return None
    common = sorted(set(mine.folds) & set(theirs.folds))
    if not common:
        return None
    return Pair(
        model, reference, dataset, {index: mine.folds[index] - theirs.folds[index] for index in common}
    )


@dataclass(frozen=True)
class Contest:
    """The question that a study's table answers: who leads, and how steadily."""

    leader: str
    rival: str
    """The best model of another family, or the runner-up where there is one family."""
    between_families: bool
    gap: float
    """Difference of the averages over shared cells."""
    pairs: tuple[Pair, ...]
    """One a dataset of the average, over shared folds."""

    @property
    def folds(self) -> int:
        """Number of paired folds, all datasets together."""
        return sum(len(item.differences) for item in self.pairs)

    @property
    def won(self) -> int:
        """Paired folds in which the leader scores higher."""
        return sum(item.above for item in self.pairs)

    @property
    def lost(self) -> int:
        """Paired folds in which the rival scores higher."""
        return sum(item.below for item in self.pairs)

    @property
    def equal(self) -> bool:
        """True when no paired fold of any dataset differs by anything."""
        return self.folds > 0 and all(item.equal for item in self.pairs)

    @property
    def steady(self) -> bool:
        """True when the leader is ahead in every paired fold of every dataset."""
        return self.folds > 0 and self.won == self.folds


def contest(evidence: Evidence, board: Board) -> Contest | None:
    """Return the leader against the best of another family; None below two ranked models."""
    rows = sorted((row for row in board.rows if AVERAGE in row.ranked), key=lambda row: -row.ranked[AVERAGE])
    if len(rows) < 2:
        return None
    leader = rows[0]
    others = [row for row in rows[1:] if row.family != leader.family]
    rival = others[0] if others else rows[1]
    pairs = [pair(board, leader.model, rival.model, dataset) for dataset in board.averaged]
    return Contest(
        leader=leader.model,
        rival=rival.model,
        between_families=bool(others),
        gap=leader.ranked[AVERAGE] - rival.ranked[AVERAGE],
        pairs=tuple(item for item in pairs if item is not None),
    )
