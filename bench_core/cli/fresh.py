"""What commands say of results that stand on something that has changed since, or that are damaged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.cli.common import say

if TYPE_CHECKING:
    from bench_core.execute.fresh import Freshness
    from bench_core.execute.ground import Change, Ground
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry
    from bench_core.store.store import Store


def ground_of(registry: Registry, store: Store, most_bytes: int | None = None) -> Ground:
    """Return what jobs would stand on now, by the cache that a run would use."""
    from bench_core.cli.data import cache_folder
    from bench_core.execute.ground import Ground

    return Ground(registry, cache_folder() or store.cache, most_bytes, store.result)


def reasons(jobs: Sequence[Job], found: Freshness) -> list[tuple[str, list[Job]]]:
    """Return each reason why finished jobs cannot be used as they are, with its jobs."""
    from bench_core.execute.fresh import reason_of

    groups: dict[str, list[Job]] = {}
    for job in jobs:
        reason = reason_of(job.digest, found)
        if reason:
            groups.setdefault(reason, []).append(job)
    return list(groups.items())


def tell(jobs: Sequence[Job], found: Freshness, spec: Path, store: Path, *, running: bool) -> None:
    """Print on stderr which results are stale, why, and what can be done; outside a run damaged ones, too."""
    where = "" if str(store) == "results" else f" --store {shlex.quote(str(store))}"
    command = f"{shlex.quote(str(spec))}{where}"
    for reason, group in reasons(jobs, found):
        damaged = found.damaged.get(group[0].digest)
        if damaged is None:
            say(f"stale: {named(group)}: {reason}", err=True)
        elif not running:
            say(f"damaged: {named(group)}: {reason}", err=True)
            for label, text in (("why", damaged.cause), ("fix", damaged.fix)):
                if text:
                    say(f"  {label}: {text}", err=True)
    if found.stale:
        what = "this run" if running else f"`bench run {command}`"
        say(f"  fix: {what} computes them anew and keeps the old ones in {store / 'replaced'}", err=True)
        say(f"  or, if it makes no difference: bench accept {command} --because '...'", err=True)
    for text in found.unknown:
        say(f"note: {text}", err=True)


def stale_events(jobs: Sequence[Job], found: Freshness) -> Iterator[dict[str, object]]:
    """Yield what `tell` prints of a run as events for programs."""
    for job in jobs:
        if job.digest in found.stale:
            changes = [changed(change) for change in found.stale[job.digest]]
            yield {"event": "stale", "job": job.name, "digest": job.digest, "changes": changes}
    for text in found.unknown:
        yield {"event": "note", "message": text}


def changed(change: Change) -> dict[str, object]:
    """Return a change as plain data."""
    return {"what": change.what, "was": change.was, "now": change.now}


def named(jobs: Sequence[Job]) -> str:
    """Return the first job's name and how many more there are."""
    return jobs[0].name + (f" and {len(jobs) - 1} more" if len(jobs) > 1 else "")
