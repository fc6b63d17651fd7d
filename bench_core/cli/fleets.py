"""`bench fleets`: the workers that were started elsewhere for a study, and how to stop them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, print_json, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.execute.fleets import Manned


@click.command()
@SPEC
@click.argument("names", nargs=-1, metavar="[ID]...")
@SET
@click.option("--stop", is_flag=True, help="Ask their workers to give their jobs back and end.")
@click.option("--kill", is_flag=True, help="End their workers by force; their jobs resume all the same.")
@STORE
@JSON
@click.pass_context
def command(
    context: click.Context,
    spec: Path,
    names: tuple[str, ...],
    overrides: tuple[str, ...],
    stop: bool,
    kill: bool,
    store: Path,
    as_json: bool,
) -> None:
    """List the fleets of workers that `bench run --executor` has started for a store, or stop them.

    With IDs only these. A fleet that is known to have ended is not listed. Exits with 2 if one could not be
    stopped.
    """
    from bench_core.execute.fleets import FleetError, close_fleet, damaged_records, open_fleets
    from bench_core.spec.load import load_spec
    from bench_core.store.store import Store

    opened = Store(store)
    found = open_fleets(opened, load_spec(spec, overrides).registry)
    damaged = damaged_records(opened)
    unknown = [name for name in names if name not in {item.record.id for item in found}]
    if unknown:
        raise FleetError(
            f"no fleet {unknown[0]} is open in this store",
            place=str(store),
            fix=f"bench fleets {shlex.quote(str(spec))} --store {shlex.quote(str(store))}",
        )
    chosen = [item for item in found if not names or item.record.id in names]
    rows, refused = [], []
    for item in chosen:
        alive = item.alive()
        if alive == 0:
            close_fleet(opened, item.record)
            continue
        rows.append(_row(item, alive))
        if stop or kill:
            try:
                item.stop(kill=kill)
            except BenchError as error:
                refused.append(error)
                rows[-1]["refused"] = error.message
    for damage in damaged:
        say(f"warning: {damage}", err=True)
    if as_json:
        print_json(rows)
    else:
        _print(rows, "killed" if kill else "asked to end" if stop else "", store)
    for refusal in refused:
        say(f"error: {refusal}", err=True)
    if refused:
        context.exit(2)


def _row(item: Manned, alive: int | None) -> dict[str, Any]:
    record = item.record
    return {
        "id": record.id,
        "executor": record.executor,
        "label": item.label,
        "workers": record.workers,
        "alive": alive,
        "why": item.why,
        "host": record.host,
        "started": record.started,
    }


def _print(rows: list[dict[str, Any]], done: str, store: Path) -> None:
    if not rows:
        say("no workers elsewhere" + ("" if store.is_dir() else f": there is no store {store}"))
    for row in rows:
        alive = "?" if row["alive"] is None else row["alive"]
        why = f" ({row['why']})" if row["why"] else ""
        said = f"; {done}" if done and "refused" not in row else ""
        say(
            f"{row['id']}  {row['executor']}: {row['label']}, {alive} of {row['workers']} alive{why}, "
            f"started {row['started']} from {row['host']}{said}"
        )
