"""What a worker has: time, memory, devices; and whether a job fits into it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bench_core.errors import BenchError
from bench_core.plan.job import Job
from bench_core.store.result import Failure

if TYPE_CHECKING:
    from bench_core.execute.known import Known

MARGIN_SECONDS = 10.0
"""Time that is left for saving and giving back."""
MARGIN_SHARE = 0.1
"""Share of an epoch's time by which the next one may be slower."""
_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,10})s)?")
_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([KMGT]i?B|B)")
_UNITS = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True)
class Limits:
    """The limits of one worker; the default is none."""

    deadline: float | None = None
    """When it ends, on `clock`."""
    memory: int | None = None
    """Bytes of its device, or of main memory on a CPU; None: not known."""
    devices: int = 1
    needs: Callable[[str], tuple[int | None, int]] = lambda digest: (None, 1)
    """By digest, memory (None: not known) and devices that a job asks for."""
    clock: Callable[[], float] = time.monotonic

    def may(self, job: Job) -> bool:
        """Say whether what a job is declared to need is here; a job of unknown need may be tried."""
        return not self.lacks(job)

    def lacks(self, job: Job) -> str:
        """Return in words what a job is declared to need and is not here, "" where nothing is."""
        memory, devices = self.needs(job.digest)
        if devices > self.devices:
            return f"it needs {devices} devices, and this worker has {self.devices}"
        if memory is not None and self.memory is not None and memory > self.memory:
            return f"it needs {_in_words(memory)} of memory, and this worker has {_in_words(self.memory)}"
        return ""

    def again(self, failure: Failure) -> bool:
        """Say whether a job that failed for too little memory elsewhere may be tried with what is here."""
        return failure.memory is not None and self.memory is not None and failure.memory < self.memory

    def fits(self, job: Job, known: Known) -> bool:
        """Say whether an epoch fits into the time left, and the job into memory as far as was measured."""
        left = self.seconds_left()
        if left is not None and (left <= MARGIN_SECONDS or not self.epoch_fits(known.epoch_seconds(job))):
            return False
        return not self.too_small(job, known)

    def too_small(self, job: Job, known: Known) -> str:
        """Return in words that jobs like this one took more memory than is here, "" where none did."""
        if self.memory is None or self.needs(job.digest)[0] is not None:
            return ""
        measured = known.memory(job)
        if measured is None or measured <= self.memory:
            return ""
        return (
            f"jobs like it took {_in_words(measured)} of memory, and this worker has {_in_words(self.memory)}"
        )

    def epoch_fits(self, seconds: float | None) -> bool:
        """Say whether an epoch of so many seconds (None: not known) can end before the deadline."""
        left = self.seconds_left()
        return left is None or seconds is None or seconds * (1 + MARGIN_SHARE) + MARGIN_SECONDS <= left

    def seconds_left(self) -> float | None:
        """Return the time until the deadline, or None without one."""
        return None if self.deadline is None else self.deadline - self.clock()


def seconds_until(text: str, now: datetime) -> float:
    """Return the seconds until "3h50m", "90m", "45s" from now, or until the next "23:30" of the local clock.

    Raises BenchError for any other text.
    """
    if (clock := _CLOCK.fullmatch(text)) is not None:
        target = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return ((target if target > now else target + timedelta(days=1)) - now).total_seconds()
    duration = _DURATION.fullmatch(text)
    if duration is None or not any(duration.groups()):
        raise BenchError(
            f"--until {text!r:.80} is not a time",
            fix="write a duration such as 3h50m, 90m or 45s, or a time such as 23:30",
        )
    hours, minutes, seconds = (int(part or 0) for part in duration.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _in_words(count: int) -> str:
    unit = next((unit for unit in ("TB", "GB", "MB", "KB") if count >= _UNITS[unit]), "B")
    return f"{count / _UNITS[unit]:.4g} {unit}"


def size_in_bytes(text: str, what: str) -> int:
    """Return the bytes of "40GB" (powers of 1000) or "24GiB" (powers of 1024); BenchError, naming `what`."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise BenchError(
            f"{what} {text!r:.80} is not a size", fix="write a number with a unit, such as 40GB or 24GiB"
        )
    return int(float(found[1]) * _UNITS[found[2]])
