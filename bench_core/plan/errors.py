"""What can be wrong with a plan."""

from __future__ import annotations

from collections.abc import Iterable

from bench_core.errors import BenchError
from bench_core.spec.nodes import Loc, dotted
from bench_core.spec.rules import Breach


class PlanError(BenchError):
    """A spec that cannot be expanded into jobs."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        place: str | None = None,
        cause: str | None = None,
        fix: str | None = None,
        loc: Loc | None = None,
    ) -> None:
        super().__init__(message, place=dotted(loc) if loc else place, cause=cause, fix=fix)
        self.loc = loc
        """The way to what is refused, where it is one value of the spec."""


def refuse(breaches: Iterable[Breach]) -> None:
    """Raise PlanError for the first rule that is broken, if any; its place is written as --set takes it."""
    for breach in breaches:
        cause = breach.cause
        if breach.earlier is not None:
            cause = f"the first is {dotted(breach.earlier)}; {cause}"
        raise PlanError(breach.message, loc=breach.loc, cause=cause, fix=breach.fix)
