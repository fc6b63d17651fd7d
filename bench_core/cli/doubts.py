"""Networks that show no sign of having learned, for the commands that look at finished jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import say
from bench_core.cli.fresh import named

if TYPE_CHECKING:
    from bench_core.plan.job import Job
    from bench_core.store.store import Store

MOST_LISTED = 20
Doubts = Sequence[tuple[str, Sequence["Job"]]]
"""Signs with the jobs that show them."""


def doubts(jobs: Iterable[Job], store: Store) -> Doubts:
    """Return the signs of finished jobs that trained or tested a network, alike ones together."""
    from bench_core.analysis.learned import not_learned
    from bench_core.errors import BenchError

    found: dict[str, list[Job]] = {}
    for job in jobs:
        if job.work.kind == "apply":
            continue
        # What cannot be read is told by the commands that need it.
        with suppress(BenchError):
            for text in not_learned(job, store.result(job.digest), store.counts(job.digest)):
                found.setdefault(text, []).append(job)
    return list(found.items())


def tell_doubts(found: Doubts) -> None:
    """Print the signs."""
    for text, jobs in found[:MOST_LISTED]:
        say(f"warning: {named(jobs)}: {text}")
    if len(found) > MOST_LISTED:
        say(f"  and {len(found) - MOST_LISTED} more warnings (--json has all)")


def doubts_json(found: Doubts) -> list[Mapping[str, Any]]:
    """Return the signs as plain data."""
    return [{"message": text, "jobs": [job.name for job in jobs]} for text, jobs in found]
