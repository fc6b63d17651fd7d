"""Which stored cases stand for a cell: the best, the median and the worst over its folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.errors import BenchError
from bench_core.records import Case

RANKS = ("best", "median", "worst")


@dataclass(frozen=True)
class Shown:
    """A case and the fold that tested it."""

    case: Case
    fold: int


def shown_cases(evidence: Evidence, cell: Cell, ranks: Sequence[str] = RANKS) -> tuple[Shown, ...]:
    """Return one case a rank: the highest best, the lowest worst, and the middle one of the medians.

    Unreadable cases are skipped: pictures are not numbers, and the page says which are missing.
    """
    found: dict[str, list[Shown]] = {}
    for fold in cell.folds:
        try:
            cases = fold.cases
        except BenchError:
            continue
        for case in cases:
            found.setdefault(case.rank, []).append(Shown(case, fold.index))
    return tuple(_pick(rank, found[rank]) for rank in ranks if rank in found)


def _pick(rank: str, candidates: Sequence[Shown]) -> Shown:
    ordered = sorted(candidates, key=lambda shown: (shown.case.dice, shown.fold, shown.case.id))
    if rank == "best":
        return ordered[-1]
    if rank == "worst":
        return ordered[0]
    middle = median(shown.case.dice for shown in ordered)
    return min(ordered, key=lambda shown: (abs(shown.case.dice - middle), shown.fold, shown.case.id))
