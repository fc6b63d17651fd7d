"""What an exception means for the job in which it was raised."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime

from bench_core.errors import BenchError
from bench_core.execute.provenance import environment
from bench_core.plan.job import Job
from bench_core.store.files import DiskError
from bench_core.store.result import Failure


class RankLostError(BenchError):
    """A process of a job with several devices has died: nothing of the job's own making."""


def describe(job: Job, error: BaseException, *, attempts: int) -> Failure:
    """Return the failure that an exception means for a job."""
    known = error if isinstance(error, BenchError) else None
    return Failure(
        digest=job.digest,
        name=job.name,
        kind=type(error).__name__,
        message=known.message if known else summary(error),
        place=known.place if known else _raised_at(error),
        cause=known.cause if known else None,
        fix=known.fix if known else "see the log for the traceback; this looks like a bug in a plugin",
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=str(environment()["host"]),
        attempts=attempts,
        # A full disk or a killed process is not a fault of the training so far. After anything else code or
        # data will have been fixed, and epochs from before must not be mixed with those after.
        resumable=isinstance(error, DiskError | RankLostError),
    )


def summary(error: BaseException) -> str:
    """Return an error's message in one line."""
    if isinstance(error, BenchError):
        return error.message
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _raised_at(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
