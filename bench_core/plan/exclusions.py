"""Which cells of the matrix are not run, and why."""

from __future__ import annotations

from collections.abc import Iterable

from bench_core.plan.resolve import DatasetChoice, ModelChoice
from bench_core.spec.model import Exclusion


class Exclusions:
    """The exclusions of a spec, found by cell without looking at each."""

    def __init__(self, entries: Iterable[Exclusion]) -> None:
        self._found: dict[tuple[str | None, str | None], list[tuple[int, str]]] = {}
        for index, entry in enumerate(entries):
            self._found.setdefault((entry.model, entry.dataset), []).append((index, entry.because))

    def of(self, model: ModelChoice, dataset: DatasetChoice) -> tuple[str, ...]:
        """Return the reasons, in the spec's order, for which a cell is not run; none for one that is."""
        if not self._found:
            return ()
        rows = (None, *{model.label, model.name})
        columns = (None, *{dataset.job.label, dataset.job.name})
        found = [item for row in rows for column in columns for item in self._found.get((row, column), ())]
        return tuple(because for _, because in sorted(found))
