"""What one worker of many keeps to when it runs jobs of a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench_core.execute.limits import Limits
from bench_core.plan.job import Job
from bench_core.store.result import Failure


@dataclass(frozen=True)
class Duty:
    """What one worker of many keeps to; the default is that of a run on one machine."""

    token: str = ""
    """Names one of many workers, and decides where among the jobs it begins; empty: the plan's order."""
    may: Callable[[Job], bool] = lambda job: True
    """Whether a job may be run here; others run what may not."""
    most_deaths: int | None = None
    """So many attempts of a job may die in a row before an epoch is finished; None: a death is a failure."""
    limits: Limits = field(default_factory=Limits)
    kind: str = "cpu"
    """Kind of its device: cpu, cuda, mps."""
    leave: bool = False
    """End when all that is left is at work elsewhere, instead of standing by to take over."""
    retried: Mapping[str, Failure] | None = None
    """Failures whose jobs are tried again; None: all that stand when it begins."""
