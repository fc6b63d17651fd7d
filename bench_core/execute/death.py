"""What is left to do for a job whose worker has died: say why, and give its claim back."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bench_core.errors import StoreError
from bench_core.execute.attempts import Attempts
from bench_core.execute.provenance import environment
from bench_core.execute.signals import RANK_LOST, STOPPED
from bench_core.plan.job import Job
from bench_core.store.result import Failure
from bench_core.store.running import epochs_kept
from bench_core.store.store import Store
from bench_core.store.taking import take_claim


@dataclass(frozen=True)
class Tries:
    """How a job may be tried: after which failure, and how often its workers may die."""

    after: Failure | None = None
    """The failure that is tried again."""
    most_deaths: int | None = None
    """So many attempts may die in a row before an epoch is finished; None: the first death is a failure."""
    memory: int | None = None
    """Bytes that the worker has, where its device does not tell."""

    def spent(self, attempts: Attempts, epochs: int) -> bool:
        """Say whether no further attempt is allowed, with so many `epochs` kept."""
        return self.most_deaths is None or attempts.deaths(epochs, self.after) >= self.most_deaths


def record_death(
    job: Job, store: Store, code: int | None, tries: Tries | None = None, memory: int | None = None
) -> Failure | None:
    """Keep in the store that the job's worker died, if nobody else has the job by now; return the failure.

    Returns None where the job may be tried again: only its attempts tell of the death. `memory` are the bytes
    that were too few for it; whoever has more may then try it.
    """
    tries = tries or Tries()
    cause, fix = explain_death(code)
    failure = Failure(
        digest=job.digest,
        name=job.name,
        kind="WorkerDied",
        message="the worker process died",
        cause=cause,
        fix=fix,
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=str(environment()["host"]),
        resumable=True,
        fault="infrastructure",
        memory=memory,
    )
    claim = take_claim(store.claims, job.digest)
    if claim is None:
        return failure if tries.most_deaths is None else None
    try:
        folder = store.prepare(job, claim)
        attempts = Attempts(folder)
        attempts.died()
        if memory is None and not tries.spent(attempts, epochs_kept(folder)):
            return None
        if memory is None and tries.most_deaths is not None:
            failure = replace(failure, message=died_too_often(tries.most_deaths))
        failure = replace(failure, attempts=max(1, attempts.count))
        store.fail(job, failure, claim)
    finally:
        claim.release()
    return failure


def died_too_often(deaths: int) -> str:
    """Return what is said of a job that is given up."""
    return f"its worker died {deaths} times before another epoch was finished"


def give_back(store: Store, digest: str) -> None:
    """Free the claim of a worker that was ended by force; one that lives keeps its own. Never fails."""
    with suppress(StoreError, OSError):
        claim = take_claim(store.claims, digest)
        if claim is not None:
            claim.release()


def explain_death(code: int | None) -> tuple[str, str]:
    """Return why a process with this exit code has died, and what to do."""
    if code == STOPPED:
        return "it was asked to stop, by a signal to it alone", "the same command resumes from the last epoch"
    if code == RANK_LOST:
        return (
            "a process of the job on another device had died, or did not answer",
            "the log says which; the same command resumes from the last epoch",
        )
    if code == -signal.SIGKILL:
        return (
            "it was killed, most often because memory ran out",
            "use fewer --workers or a smaller batch size; the same command resumes from the last epoch",
        )
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"it was ended by {name}, a crash in a library", "see its log; the same command tries it again"
    return f"it ended with code {code}", "see its log; the same command tries it again"
