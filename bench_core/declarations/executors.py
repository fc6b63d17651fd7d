"""What plugins declare of executors: where the workers of a study are started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench_core.declarations.entry import Entry
from bench_core.options import Option

LOCAL = "local"
"""Names worker processes of this machine, which `bench run` starts itself; no plugin can declare it."""


@dataclass(frozen=True)
class FleetRequest:
    """Equal workers that an executor is asked for; each pulls jobs from the store until none is left."""

    name: str
    """The study's name, safe as a job's name in any scheduler."""
    store: Path
    """Absolute; every worker must see it under this path."""
    command: tuple[str, ...]
    """Starts one worker and ends with exit code 0 when there is nothing left to do. An executor may add
    options of `bench worker`, such as --until."""
    workers: int
    """At most so many at a time."""
    devices: int = 0
    """Accelerators of each worker; 0: it runs on the CPU."""
    cores: int = 1
    """CPU cores of each worker: its threads and loader processes."""
    memory: int | None = None
    """Bytes of main memory that each worker may need; None: not known."""
    folder: Path = Path()
    """Absolute, made and empty: for scripts and logs."""


class Fleet(Protocol):
    """Workers that an executor has started. What a scheduler says of them is a hint: sealed results count."""

    label: str
    """Names them for people, as "Slurm job 1234"."""

    def alive(self) -> int | None:
        """Return how many are queued or at work; None where the scheduler does not tell."""

    def stop(self, *, kill: bool = False) -> None:
        """Ask all to end (SIGTERM: they give their jobs back), or end them by force; returns at once."""


@dataclass(frozen=True, kw_only=True)
class ExecutorDeclaration:
    """Starts workers on other machines or under a scheduler; decides nothing about jobs.

    `start(request, options)` gets a FleetRequest and the complete `options` of the spec's
    `runtime.executors`, starts the workers without waiting for them, and returns a Fleet. It raises
    BenchError where the scheduler is not there or refuses.
    """

    name: str
    start: Entry
    help: str
    requires: tuple[str, ...] = ()
    install: str = ""
    """What brings `requires`, as in `Architecture`."""
    attach: Entry | None = None
    """`attach(folder, options)` returns the Fleet that `start` began with this `folder`, for another process,
    perhaps on another machine and much later. `start` leaves there what that takes. Without it only the
    process that started a fleet can ask about it or stop it."""
    lacking: Entry | None = None
    """`lacking()` returns in words what this machine lacks (no scheduler's commands, for example), "" where
    nothing; it starts nothing, connects to nothing and answers at once."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Resources and limits; none may change any number, and none counts for identity."""
