"""What a check is, and what all of them say of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding

Kind = Literal["train", "own", "apply"]
Examine = Callable[[Subject, Audit], Iterable[Finding] | None]
"""Gets a job and all others; returns what it finds, or None where the job has nothing to look at."""


@dataclass(frozen=True)
class Check:
    """One question to every finished job."""

    name: str
    proves: str
    """What is true of the store when nothing is found."""
    examine: Examine
    kinds: tuple[Kind, ...] = ("train", "own", "apply")
    """Kinds of work that it can ask."""


@dataclass(frozen=True)
class Outcome:
    """A check after it has seen every job."""

    check: Check
    jobs: int
    """Jobs that had something to look at."""
    findings: tuple[Finding, ...]
    left_out: int = 0
    """Jobs whose kind of work it cannot ask."""


@dataclass(frozen=True)
class Verification:
    """All checks of a store."""

    planned: int
    done: int
    outcomes: tuple[Outcome, ...]

    @property
    def complete(self) -> bool:
        """True when every planned job is finished."""
        return self.done == self.planned

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, check by check."""
        return tuple(finding for outcome in self.outcomes for finding in outcome.findings)

    @property
    def ok(self) -> bool:
        """True when nothing but warnings was found."""
        return all(finding.level == "warning" for finding in self.findings)
