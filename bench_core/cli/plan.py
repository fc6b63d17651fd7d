"""`bench plan`: a spec's jobs, before anything runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, print_json_rows
from bench_core.cli.plan_power import PowerOptions, power_options, show_power

if TYPE_CHECKING:
    from bench_core.cli.plan_view import StoreView
    from bench_core.plan.expand import Plan
    from bench_core.spec.load import LoadedSpec


@click.command()
@SPEC
@SET
@STORE
@click.option(
    "--diff",
    "other",
    type=PathType(),
    metavar="OTHER",
    help="Compare with another spec: shared jobs, and why the rest differ.",
)
@power_options
@JSON
def command(
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    other: Path | None,
    as_json: bool,
    **power: Any,
) -> None:
    """Expand SPEC into its job matrix: models x datasets, stages, epochs, exclusions, deviations.

    Needs no data and no framework. Where the store exists, says what is done, running, failed, stale or
    to do. With --diff, --set changes SPEC alone, so that `bench plan a.yaml --set ... --diff a.yaml` says
    which jobs a change leaves as they are. With --power, says which differences the study will be able to
    show; that needs scipy. Exit codes: 0 planned, 1 invalid spec, 2 could not run.
    """
    options = PowerOptions(**power)
    if options.asked:
        if other is not None:
            raise click.UsageError("--diff and --power are two questions: ask one at a time")
        loaded, planned = _loaded(spec, overrides)
        show_power(planned, loaded.registry, options, as_json)
        return
    plan = _load(spec, overrides)
    if other is not None:
        # One file against itself is how to ask what --set changes.
        name = f"{spec} with --set" if overrides else str(spec)
        _diff(plan, _load(other, ()), (name, str(other)), as_json)
        return
    view = _store_view(plan, store)
    if as_json:
        from bench_core.plan.summary import plan_json

        data = plan_json(plan, view.states if view else None)
        if view is not None:
            data["store"] = {"states": dict(view.counts), "stale": list(view.stale)}
        print_json_rows(data, "jobs")
        return
    from bench_core.cli.plan_view import print_plan

    print_plan(plan, view)


def _loaded(path: Path, overrides: tuple[str, ...]) -> tuple[LoadedSpec, Plan]:
    from bench_core.plan.load import load_plan

    return load_plan(path, overrides)


def _load(path: Path, overrides: tuple[str, ...]) -> Plan:
    return _loaded(path, overrides)[1]


def _store_view(plan: Plan, path: Path) -> StoreView | None:
    # Without a store there is nothing to say, and reading one costs an import.
    if not (path / "store.json").exists():
        return None
    from bench_core.cli.plan_view import StoreView
    from bench_core.store.store import Store

    store = Store(path)
    known = store.states()
    states = {job.digest: str(known.get(job.digest, "todo")) for job in plan.jobs}
    return StoreView(path, states, tuple(sorted(job.digest for job in store.stale(plan.jobs))))


def _diff(left: Plan, right: Plan, names: tuple[str, str], as_json: bool) -> None:
    from bench_core.plan.diff import compare

    diff = compare(left, right, names)
    if as_json:
        print_json(asdict(diff))
        return
    from bench_core.cli.plan_view import print_diff

    print_diff(diff)
