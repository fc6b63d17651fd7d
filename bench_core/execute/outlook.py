"""What a store says of jobs that workers elsewhere run, told as those workers would tell it themselves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bench_core.declarations import JobEvent
from bench_core.errors import StoreError
from bench_core.execute.events import describe_event
from bench_core.execute.executor import Ended, Message, Returned, Taken
from bench_core.plan.job import Job
from bench_core.store.result import Failure
from bench_core.store.running import last_epoch
from bench_core.store.store import Store

LOOK_SECONDS = 1.0
SHARE = 0.05
"""Of its time that a run spends on looking at most: a large store on a slow disk is looked at seldom."""
MOST_FOLLOWED = 32
"""Jobs at work whose epochs are looked up at a time; of more, these in turn."""


class Outlook:
    """Looks at the jobs of a run that are not done; `clock` counts seconds.

    Each look lists the names in the store, and opens files of jobs that have changed or are at work only.
    """

    def __init__(
        self, jobs: Iterable[Job], store: Store, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._clock = store, clock
        states = store.states()
        self._open = {job.digest: job for job in jobs if states.get(job.digest) != "done"}
        """Jobs whose end has not been seen."""
        self._running: dict[str, int] = {}
        """Jobs at work, with the epochs that were told of each; those looked up longest ago first."""
        self._failures: dict[str, Failure | None] = {
            digest: store.failure(digest) for digest in self._open if states.get(digest) == "failed"
        }
        """Failures from before this run, whose jobs are tried again."""
        self._due = -math.inf

    @property
    def at_work(self) -> int:
        """How many jobs were at work at the last look."""
        return len(self._running)

    @property
    def left(self) -> int:
        """How many jobs had not ended at the last look."""
        return len(self._open)

    def look(self, *, now: bool = False) -> list[Message]:
        """Return what has changed since the last look; nothing before the next is due, unless `now`.

        A store that cannot be read for a moment says nothing.
        """
        begun = self._clock()
        if begun < self._due and not now:
            return []
        messages: list[Message] = []
        with suppress(StoreError, OSError):
            # Kept one by one: what was seen before a file could not be read has been seen.
            messages.extend(self._changes())
        self._due = self._clock() + max(LOOK_SECONDS, (self._clock() - begun) / SHARE)
        return messages

    def _changes(self) -> Iterator[Message]:
        states = self._store.states()
        for digest, job in list(self._open.items()):
            state = states.get(digest, "todo")
            if state == "running":
                if digest not in self._running:
                    yield self._taken(digest)
            elif state == "done":
                yield from self._done(digest, job)
            elif state == "failed" and (failure := self._store.failure(digest)) != self._failures.get(digest):
                yield from self._ended(digest, Ended(digest, "failed", failure))
            elif digest in self._running:
                del self._running[digest]
                yield Returned(digest)
        yield from self._epochs()

    def _taken(self, digest: str) -> Taken:
        self._running[digest] = 0
        owner = self._store.owner(digest)
        if owner is None:
            return Taken(digest, "")
        seconds = 0.0
        with suppress(ValueError, TypeError):
            seconds = (datetime.now(UTC) - datetime.fromisoformat(owner.started)).total_seconds()
        return Taken(digest, owner.host, max(0.0, seconds))

    def _done(self, digest: str, job: Job) -> Iterator[Message]:
        event = JobEvent(kind="finished", digest=digest, epochs=job.epochs)
        yield from self._ended(digest, describe_event(event, job, self._store), Ended(digest, "done"))

    def _ended(self, digest: str, *messages: Message) -> Iterator[Message]:
        if digest not in self._running:
            # It began and ended between two looks.
            yield self._taken(digest)
        del self._running[digest], self._open[digest]
        yield from messages

    def _epochs(self) -> Iterator[JobEvent]:
        for digest in list(self._running)[:MOST_FOLLOWED]:
            told = self._running.pop(digest)
            place = self._store.place(digest)
            found = None if place is None else last_epoch(place)
            kept = told if found is None else int(found["epoch"]) + 1
            self._running[digest] = kept
            if found is not None and kept > told:
                yield describe_event(_epoch(self._open[digest], found), self._open[digest], self._store)


def _epoch(job: Job, found: Mapping[str, Any]) -> JobEvent:
    values = {str(name): _number(value) for name, value in found["validation"].items()}
    return JobEvent(
        kind="epoch",
        digest=job.digest,
        epoch=int(found["epoch"]),
        epochs=job.epochs,
        loss=_number(found.get("loss")),
        metrics=values,
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
