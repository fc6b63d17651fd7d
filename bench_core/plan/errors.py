"""What can be wrong with a plan."""

from __future__ import annotations

from collections.abc import Iterable

from bench_core.errors import BenchError
from bench_core.spec.nodes import dotted
from bench_core.spec.rules import Breach


class PlanError(BenchError):
    """A spec that cannot be expanded into jobs."""

    exit_code = 1


def refuse(breaches: Iterable[Breach]) -> None:
    """Raise PlanError for the first rule that is broken, if any; its place is written as --set takes it."""
    for breach in breaches:
        cause = breach.cause
        if breach.earlier is not None:
            cause = f"the first is {dotted(breach.earlier)}; {cause}"
        raise PlanError(breach.message, place=dotted(breach.loc), cause=cause, fix=breach.fix)
