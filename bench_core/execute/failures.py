"""What an exception means for the job in which it was raised."""

from __future__ import annotations

import errno
import traceback
from datetime import UTC, datetime

from bench_core.errors import BenchError
from bench_core.execute.provenance import environment
from bench_core.plan.job import Job
from bench_core.store.files import DiskError
from bench_core.store.result import Failure

_OF_MACHINES = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.EHOSTDOWN, errno.ENETDOWN}
"""What a file system or a device raises that has gone away."""
_LOST_DEVICES = ("uncorrectable ecc", "fallen off the bus", "device is lost", "unspecified launch failure")
_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


class RankLostError(BenchError):
    """A process of a job with several devices has died: nothing of the job's own making."""


class DiedTooOftenError(BenchError):
    """A job whose workers died again and again before it had finished another epoch."""


def describe(job: Job, error: BaseException, *, attempts: int, memory: int | None = None) -> Failure:
    """Return the failure that an exception means for a job; `memory` are the bytes that its device has."""
    known = error if isinstance(error, BenchError) else None
    starved = lacks_memory(error)
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
        # A full disk or a lost machine is not a fault of the training so far. After anything else code or
        # data will have been fixed, and epochs from before must not be mixed with those after.
        resumable=starved or of_infrastructure(error),
        fault="infrastructure" if starved or of_infrastructure(error) else "method",
        memory=memory if starved else None,
    )


def nameless(digest: str, error: BenchError) -> Failure:
    """Return the failure of a job of which the digest alone is known, since its queued files are damaged."""
    return Failure(
        digest=digest,
        name=digest,
        kind=type(error).__name__,
        message=error.message,
        place=error.place,
        cause=error.cause,
        fix=error.fix,
        resumable=True,
        fault="infrastructure",
    )


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error means that the device or the machine has too little memory for the job."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


def of_infrastructure(error: BaseException) -> bool:
    """Say whether an error is the fault of a machine or its disk: another try elsewhere may succeed."""
    if isinstance(error, (DiskError, DiedTooOftenError, RankLostError)):
        return True
    if isinstance(error, OSError) and error.errno in _OF_MACHINES:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _LOST_DEVICES)


def summary(error: BaseException) -> str:
    """Return an error's message in one line."""
    if isinstance(error, BenchError):
        return error.message
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _raised_at(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
