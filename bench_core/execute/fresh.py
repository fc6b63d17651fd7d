"""Which finished jobs can be used as they are, and what becomes of those that cannot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.execute.ground import Change, Ground
from bench_core.plan.job import Job
from bench_core.store.accepted import read_accepted
from bench_core.store.claim import ClaimLostError
from bench_core.store.store import Store
from bench_core.store.taking import claiming

MOST_NEW_BYTES = 4 * 1024**3
"""Of a dataset that was never hashed here: more is not read for a question about results."""


@dataclass(frozen=True)
class Freshness:
    """The finished jobs that cannot be used as they are."""

    stale: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    """Digest to what has changed since."""
    damaged: Mapping[str, StoreError] = field(default_factory=dict)
    """Digest to the file that is not as it was sealed."""
    unknown: tuple[str, ...] = ()
    """What could not be compared, and why, one sentence each."""


def freshness(jobs: Iterable[Job], store: Store, ground: Ground) -> Freshness:
    """Compare the finished ones among the jobs with what is there now; needed jobs come before others.

    Raises StoreError if the store's list of acceptances is damaged.
    """
    accepted = read_accepted(store.path)
    stale: dict[str, tuple[Change, ...]] = {}
    damaged: dict[str, StoreError] = {}
    for job in jobs:
        if not store.is_done(job.digest):
            continue
        try:
            store.check_quickly(job.digest)
            changes = ground.changes(job, store.result(job.digest), accepted)
        except StoreError as error:
            damaged[job.digest] = error
            continue
        # What looks at a stale result goes with it, whatever it stands on itself.
        changes = changes or next((stale[need.digest] for need in job.needs if need.digest in stale), ())
        if changes:
            stale[job.digest] = changes
    unknown = tuple(f"{what} could not be compared: {why}" for what, why in ground.unknown.items())
    return Freshness(stale, damaged, unknown)


@dataclass(frozen=True)
class SetAside:
    """A finished job that is computed anew."""

    job: Job
    reason: str
    kept: Path
    """Where its old folder lies."""


def set_aside(jobs: Sequence[Job], store: Store, ground: Ground, found: Freshness) -> tuple[SetAside, ...]:
    """Move stale results out of the way; those that another process works on stay.

    Raises DiskError if the store cannot be written to.
    """
    moved = []
    for job in jobs:
        if job.digest not in found.stale:
            continue
        with claiming(store.claims, job.digest) as claim:
            if claim is None:
                continue
            # Another process may have computed it anew since we looked.
            seen = store.seal_of(job.digest)
            again = freshness([job], store, ground)
            reason = reason_of(job.digest, again)
            if job.digest in again.stale and seen is not None:
                with suppress(ClaimLostError):
                    kept = store.set_aside(claim, seen)
                    moved += [] if kept is None else [SetAside(job, reason, kept)]
    return tuple(moved)


def reason_of(digest: str, found: Freshness) -> str:
    """Return why a finished job cannot be used as it is; empty where it can."""
    if digest in found.damaged:
        error = found.damaged[digest]
        return f"{error.place}: {error.message}" if error.place else error.message
    return "; ".join(str(change) for change in found.stale.get(digest, ()))
