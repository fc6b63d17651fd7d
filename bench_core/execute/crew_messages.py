"""What a worker and the processes beside it tell each other of jobs with several devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench_core.plan.job import Job
    from bench_core.protocol.run_options import RunOptions


@dataclass(frozen=True)
class Start:
    """What the processes are started with: a job with another start needs other ones."""

    devices: tuple[str, ...]
    """Of all processes of a job; the first is the worker's own."""
    threads: int
    plugins: tuple[Path, ...]


@dataclass(frozen=True)
class Task:
    """A job as it is told to the processes that share it."""

    job: Job
    options: RunOptions
    cache: Path
    direct: bool
    """CUDA tensors travel by nccl."""
    port: int
    """Where the processes meet for this job."""


@dataclass(frozen=True)
class Call:
    """Asks the processes whether they are there; each that is sends it back."""

    number: int


@dataclass(frozen=True)
class Report:
    """What a process says of the exception that it ends with."""

    kind: str
    known: bool
    """Whether it is a BenchError."""
    exchange: bool
    """Whether an exchange failed, as it does where another process has ended."""
    message: str
    place: str | None
    cause: str | None
    fix: str | None
    traceback: str
    time: float
    """By the clock of the machine that never goes back."""
