"""Where jobs run: what the schedule asks of an executor, and what an executor tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bench_core.declarations import JobEvent
from bench_core.store.result import Failure


@dataclass(frozen=True)
class Assignment:
    """A queued job for a worker, which finds all else in the store."""

    digest: str
    silent: str | None = None
    """Token of the job's last owner if the sender has seen it silent for its lease: it is dead."""
    retried: Failure | None = None
    """The failure that this try follows; a newer one counts as somebody else's work."""
    memory: int | None = None
    """Bytes that the worker has, where its device does not tell."""
    most_deaths: int | None = None
    """So many attempts may die in a row before an epoch is finished; None: as often as it is started."""


@dataclass(frozen=True)
class Note:
    """What a job is doing before its first epoch."""

    digest: str
    text: str


@dataclass(frozen=True)
class Deaf:
    """A plugin whose listener of events failed; the job runs on."""

    plugin: str
    text: str


@dataclass(frozen=True)
class Ended:
    """The end of a job as its worker saw it."""

    digest: str
    outcome: Literal["done", "elsewhere", "failed", "disk", "again"]
    """disk: the store cannot be written to. again: a machine's fault, for which the job is not to blame."""
    failure: Failure | None = None
    retire: bool = False
    """The worker ends itself: what failed may have left the process in a state that harms the next job."""


@dataclass(frozen=True)
class Lost:
    """A worker that ended in the middle of a job, with its exit code (negative: the signal)."""

    digest: str
    code: int | None


@dataclass(frozen=True)
class Taken:
    """A job that a worker has taken by itself."""

    digest: str
    where: str
    """The host, for people."""
    seconds: float = 0.0
    """How long ago, as far as clocks agree."""


@dataclass(frozen=True)
class Returned:
    """A job that was taken and is to do again: its worker gave it back, or died."""

    digest: str


@dataclass(frozen=True)
class Workers:
    """How many workers there are, in words, where they come and go by themselves."""

    text: str


Message = JobEvent | Note | Deaf | Ended | Lost | Taken | Returned | Workers


class Executor(Protocol):
    """Starts queued jobs somewhere, hears from them and stops them; decides nothing about their order."""

    slots: int
    """Jobs at a time."""

    def free(self) -> int:
        """Return how many jobs can be started now."""

    def start(self, assignment: Assignment) -> str | None:
        """Start a queued job and return where (cpu, cuda:0); None if that failed and may be tried again."""

    def hear(self, timeout: float) -> Sequence[Message]:
        """Wait up to `timeout` seconds for messages and return them in order."""

    def dismiss(self) -> None:
        """Let what is idle end by itself; returns when it has."""

    def stop(self, *, kill: bool = False) -> None:
        """Ask every job to stop now, or end them by force; returns at once."""

    def stopped(self, timeout: float) -> bool:
        """Say whether all have ended, waiting up to `timeout` seconds for it."""
