"""How a process behaves among others that work on the same jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench_core.store.result import Failure


def anything(number: int) -> bool:
    """Say that a job may be run, whichever it is."""
    return True


@dataclass(frozen=True)
class Manners:
    """How a process behaves among others; by default it takes all jobs in the plan's order."""

    token: str = ""
    """Names one of many workers: decides where it begins. Empty: the plan's order."""
    may: Callable[[int], bool] = anything
    """Whether a job, by its number, may be run here."""
    again: Callable[[int, Failure], bool] = lambda number, failure: False
    """Whether a failed job may nevertheless be tried here."""
    leave: bool = False
    """End when all that is left is at work elsewhere, instead of standing by to take over."""
