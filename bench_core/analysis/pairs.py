"""Two models on the same folds: differences that share training and test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.scores import AVERAGE, Board
from bench_core.metrics.scale import PERCENT, Scale


@dataclass(frozen=True)
class Pair:
    """`model` minus `reference`, fold by fold."""

    model: str
    reference: str
    dataset: str
    differences: Mapping[int, float]
    """Fold index to difference, in the unit of the scale (of fractions, not points)."""
    scale: Scale = PERCENT

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
    def better(self) -> int:
        """Folds in which `model` is ahead."""
        return sum(self.scale.gain(value, 0.0) > 0 for value in self.differences.values())

    @property
    def worse(self) -> int:
        """Folds in which `reference` is ahead."""
        return sum(self.scale.gain(value, 0.0) < 0 for value in self.differences.values())


def pair(board: Board, model: str, reference: str, dataset: str) -> Pair | None:
    """Return the differences over the folds that both have, or None where there are none."""
    mine = board.row(model).scores.get(dataset)
    theirs = board.row(reference).scores.get(dataset)
    if mine is None or theirs is None:
        return None
    common = sorted(set(mine.folds) & set(theirs.folds))
    if not common:
        return None
    differences = {index: mine.folds[index] - theirs.folds[index] for index in common}
    return Pair(model, reference, dataset, differences, mine.scale)


@dataclass(frozen=True)
class Contest:
    """The question that a study's table answers: who leads, and how steadily."""

    leader: str
    rival: str
    """The best model of another family, or the runner-up where there is one family."""
    between_families: bool
    gap: float
    """By how much the leader's average over shared cells is better, in the unit of the scale."""
    pairs: tuple[Pair, ...]
    """One per dataset of the average, over shared folds."""

    @property
    def folds(self) -> int:
        """Number of paired folds, all datasets together."""
        return sum(len(item.differences) for item in self.pairs)

    @property
    def won(self) -> int:
        """Paired folds in which the leader is ahead."""
        return sum(item.better for item in self.pairs)

    @property
    def lost(self) -> int:
        """Paired folds in which the rival is ahead."""
        return sum(item.worse for item in self.pairs)

    @property
    def equal(self) -> bool:
        """True when no paired fold of any dataset differs by anything."""
        return self.folds > 0 and all(item.equal for item in self.pairs)

    @property
    def steady(self) -> bool:
        """True when the leader is ahead in every paired fold of every dataset."""
        return self.folds > 0 and self.won == self.folds


def contest(evidence: Evidence, board: Board) -> Contest | None:
    """Return the leader against the best of another family; None below two ranked models of a track."""
    scale = board.scale(AVERAGE)
    by_track = [
        [row for row in board.rows if AVERAGE in row.ranked and row.track == track]
        for track in evidence.tracks
    ]
    rows = next((rows for rows in by_track if len(rows) > 1), None)
    if rows is None:
        return None
    rows.sort(key=lambda row: scale.order(row.ranked[AVERAGE]))
    leader = rows[0]
    others = [row for row in rows[1:] if row.family != leader.family]
    rival = others[0] if others else rows[1]
    pairs = [pair(board, leader.model, rival.model, dataset) for dataset in board.averaged]
    return Contest(
        leader=leader.model,
        rival=rival.model,
        between_families=bool(others),
        gap=scale.gain(leader.ranked[AVERAGE], rival.ranked[AVERAGE]),
        pairs=tuple(item for item in pairs if item is not None),
    )
