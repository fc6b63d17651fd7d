"""What options of `cost` mean, and which of its values follow from its tables; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core.declarations import Metric
from bench_core.metrics.costs import MEASURED, OPERATIONS, operation_values, read_measured, read_operations

if TYPE_CHECKING:
    from bench_core.store.left import Left

MOST = 4096
"""Images of a batch."""


def resolve(options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Mapping[str, Any]:
    """Return the options with batches in order, each once; raise ValueError for one that is not a number."""
    batches = options["batches"]
    wrong = [item for item in batches if isinstance(item, bool) or not isinstance(item, int)]
    wrong += [item for item in batches if item not in wrong and not 1 <= item <= MOST]
    if wrong:
        raise ValueError(f"batches lists {wrong[0]!r}: a batch has 1 to {MOST} images")
    return {**options, "batches": sorted(set(batches))}


def follows(left: Left) -> Mapping[str, float]:
    """Return what operations add up to; raise ValueError for a table that no machine can have left."""
    from bench_core.plan.job import Apply

    read_measured(left.records(MEASURED))
    work = left.job.work
    if not isinstance(work, Apply) or not work.options["operations"]:
        return {}
    return operation_values(read_operations(left.records(OPERATIONS)))
