"""What this package declares."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core import ExecutorDeclaration, hookimpl
from bench_executors import ray


@hookimpl
def bench_executors() -> Sequence[ExecutorDeclaration]:
    """Return the executors of this package."""
    return [ray.RAY]
