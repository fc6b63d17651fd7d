"""What several parts of a report ask of a dataset's models, computed once for each question."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Judged, Settings, judge
from bench_core.analysis.inference.field import Field, field_of
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.ranking import RankedField, ranked_field
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Board, board
from bench_core.declarations.work import Track
from bench_core.metrics.counts import EmptyPolicy

Found = TypeVar("Found")


@dataclass(frozen=True)
class Known:
    """The models of a study in one quantity: asked by dataset and track, answered once."""

    evidence: Evidence
    quantity: Quantity
    empty: EmptyPolicy = "ignore"

    @property
    def board(self) -> Board:
        """The study's table."""
        return self._once(("board", self.quantity.name), lambda: board(self.evidence, self.quantity))

    def field(self, dataset: str, track: Track = "shared") -> Field | None:
        """Return who can be compared."""
        key = ("field", self.quantity.name, self.empty, dataset, track)
        return self._once(key, lambda: field_of(self.evidence, self.board, dataset, self.empty, track))

    def judged(self, dataset: str, view: View, settings: Settings, track: Track = "shared") -> Judged | None:
        """Return all pairs; None where nobody can be compared, or in a view that the metric does not have."""
        field = self.field(dataset, track)
        if field is None:
            return None
        key = ("judged", self.quantity.name, self.empty, dataset, track, view, settings)
        return self._once(key, lambda: judge(field, view, settings))

    def ranked(
        self, dataset: str, view: View, settings: Settings, track: Track = "shared"
    ) -> RankedField | None:
        """Return the ranks; None where nobody can be compared, or a score is undefined."""
        field = self.field(dataset, track)
        if field is None:
            return None
        key = ("ranked", self.quantity.name, self.empty, dataset, track, view, settings)
        return self._once(key, lambda: ranked_field(field, view, settings))

    def _once(self, key: Hashable, compute: Callable[[], Found]) -> Found:
        memo = self.evidence.memo
        if key not in memo:
            memo[key] = compute()
        found: Found = memo[key]
        return found
