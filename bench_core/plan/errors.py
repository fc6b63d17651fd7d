"""What can be wrong with a plan."""

from __future__ import annotations

from bench_core.errors import BenchError


class PlanError(BenchError):
    """A spec that cannot be expanded into jobs."""

    exit_code = 1
