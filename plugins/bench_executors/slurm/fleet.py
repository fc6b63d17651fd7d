"""Starting workers under Slurm, and asking about and stopping them later, from any process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_core.declarations import FleetRequest
from bench_core.errors import BenchError
from bench_core.execute.signals import deferred
from bench_core.files.bounded import read_json
from bench_executors.slurm import commands
from bench_executors.slurm.script import array, elements_of, script, write_script

JOBS = "jobs.json"
"""The arrays of a fleet, in its folder."""
_MOST_BYTES = 2**20
_MOST_ARRAYS = 10_000


class SlurmFleet:
    """Workers that are elements of one or more arrays (see bench_core.declarations.Fleet)."""

    def __init__(self, jobs: Sequence[str]) -> None:
        named = ", ".join(job.replace(";", " on ") for job in jobs)
        self.label = f"Slurm job{'s' * (len(jobs) > 1)} {named}"
        self._jobs = tuple(jobs)

    def alive(self) -> int | None:
        """Return how many elements wait, run or are about to be requeued; None where Slurm does not tell."""
        return commands.in_queue(self._jobs)

    def stop(self, *, kill: bool = False) -> None:
        """Cancel all: Slurm sends TERM, and KILL after its KillWait; with `kill`, KILL right away."""
        for job in self._jobs:
            if kill:
                with suppress(commands.SlurmError):
                    # Else those that wait would start where others are killed.
                    commands.cancel(job, "--state=PENDING")
                    commands.cancel(job, "--full", "--signal=KILL")
            # A cancelled job is never requeued.
            commands.cancel(job)


def start(request: FleetRequest, options: Mapping[str, Any]) -> SlurmFleet:
    """Submit as many arrays as the fleet needs; all or none.

    Raises SlurmError with Slurm's own words, BenchError for options that cannot be.
    """
    largest = commands.largest_index()
    text = script(request, options, largest)
    write_script(request.folder, text)
    jobs: list[str] = []
    try:
        for part in arrays(elements_of(request, options), request.workers, largest):
            # An sbatch that is cut off may have submitted what nobody knows the number of.
            with deferred():
                jobs.append(commands.submit(text, [part]))
                (request.folder / JOBS).write_text(json.dumps(jobs))
    except BaseException:
        if jobs:
            with suppress(commands.SlurmError):
                SlurmFleet(jobs).stop()
        raise
    return SlurmFleet(jobs)


def attach(folder: Path, options: Mapping[str, Any]) -> SlurmFleet:
    """Return the fleet that was started with this folder."""
    path = folder / JOBS
    try:
        jobs = read_json(path, _MOST_BYTES)
        if not isinstance(jobs, list) or not jobs or len(jobs) > _MOST_ARRAYS:
            raise ValueError("it does not hold numbers of jobs")
        if not all(isinstance(job, str) and commands.JOB.fullmatch(job) for job in jobs):
            raise ValueError("it does not hold numbers of jobs")
    except (OSError, ValueError) as error:
        raise BenchError(
            "the numbers of the fleet's Slurm jobs cannot be read",
            place=str(path),
            cause=str(error),
            fix="squeue --me",
        ) from error
    return SlurmFleet(jobs)


def arrays(elements: int, at_once: int, largest: int) -> list[str]:
    """Return sbatch's options for arrays of `elements` in all, `at_once` of them running at the same time.

    Each array has at most `largest` elements, and its part of `at_once`, at least one.
    """
    count = max(1, -(-elements // largest))
    parts = []
    for number in range(count):
        size = elements * (number + 1) // count - elements * number // count
        cap = at_once * (number + 1) // count - at_once * number // count
        parts.append(array(1, size, max(1, cap)))
    return parts
