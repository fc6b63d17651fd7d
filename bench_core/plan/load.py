"""From a spec file to its plan: one way for every command, so that all say the same of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_core.plan.check import check_plan
from bench_core.plan.expand import Plan, make_plan
from bench_core.plugins.registry import Registry
from bench_core.spec.load import LoadedSpec, load_spec


def check_spec(path: Path, overrides: Sequence[str] = (), *, registry: Registry | None = None) -> LoadedSpec:
    """Load a spec of which a plan can be made; arguments and errors are those of `load_spec`."""
    return load_spec(path, overrides, registry=registry, further=(check_plan,))


def load_plan(
    path: Path, overrides: Sequence[str] = (), *, registry: Registry | None = None
) -> tuple[LoadedSpec, Plan]:
    """Load a spec and expand it into its jobs; arguments and errors are those of `load_spec`."""
    loaded = check_spec(path, overrides, registry=registry)
    return loaded, make_plan(loaded.spec, loaded.registry)
