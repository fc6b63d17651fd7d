"""What is left to do for a job whose worker has died: say why, and give its claim back."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from bench_core.errors import StoreError
from bench_core.execute.attempts import Attempts
from bench_core.execute.provenance import environment
from bench_core.execute.signals import RANK_LOST, STOPPED
from bench_core.plan.job import Job
from bench_core.store.claim import take_claim
from bench_core.store.result import Failure
from bench_core.store.store import Store


def record_death(job: Job, store: Store, code: int | None) -> Failure:
    """Keep in the store that the job's worker died, if nobody else has the job by now; return the failure."""
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
    )
    claim = take_claim(store.claims, job.digest)
    if claim is None:
        return failure
    try:
        folder = store.prepare(job, claim)
        failure = replace(failure, attempts=max(1, Attempts(folder).count))
        store.fail(job, failure, claim)
    finally:
        claim.release()
    return failure


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
            "a process of the job on another device had died",
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
