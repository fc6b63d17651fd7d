"""`bench status`: what is done, running, failed and to do."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, console, print_json, say
from bench_core.cli.views import reason_of

if TYPE_CHECKING:
    from bench_core.execute.fleets import Manned
    from bench_core.execute.fresh import Freshness
    from bench_core.plan.expand import Plan
    from bench_core.plan.job import Job
    from bench_core.store.owners import ClaimOwner
    from bench_core.store.result import Failure
    from bench_core.store.store import Store

MOST_LISTED = 20


@click.command()
@SPEC
@SET
@STORE
@JSON
def command(spec: Path, overrides: tuple[str, ...], store: Path, as_json: bool) -> None:
    """Say what is done, running, failed, stale, damaged and to do of SPEC."""
    from bench_core.cli.doubts import doubts, doubts_json, tell_doubts
    from bench_core.cli.fresh import ground_of, tell
    from bench_core.execute.fleets import damaged_records, open_fleets
    from bench_core.execute.fresh import MOST_NEW_BYTES, freshness
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    loaded, plan = load_plan(spec, overrides)
    opened = Store(store)
    known = opened.states()
    states = {job.digest: str(known.get(job.digest, "todo")) for job in plan.jobs}
    failures = {digest: opened.failure(digest) for digest, state in states.items() if state == "failed"}
    stale = opened.stale(plan.jobs)
    epochs = opened.cut_off(digest for digest, state in states.items() if state != "done")
    ground = ground_of(loaded.registry, opened, MOST_NEW_BYTES)
    found = freshness((job for job in plan.jobs if states[job.digest] == "done"), opened, ground)
    states |= dict.fromkeys(found.stale, "stale") | dict.fromkeys(found.damaged, "damaged")
    fleets = [_fleet(item) for item in open_fleets(opened, loaded.registry)]
    for damage in damaged_records(opened):
        say(f"warning: {damage}", err=True)
    signs = doubts((job for job in plan.jobs if states[job.digest] == "done"), opened)
    if as_json:
        data = _data(plan, opened, states, failures, stale, epochs) | _unusable(plan, found)
        print_json(data | {"fleets": fleets, "warnings": doubts_json(signs)})
    else:
        _print(plan, opened, states, failures, stale, epochs, spec)
        for fleet in fleets:
            alive = "?" if fleet["alive"] is None else fleet["alive"]
            say(f"workers: {fleet['label']}, {alive} of {fleet['workers']} alive")
        tell_doubts(signs)
        tell(plan.jobs, found, spec, store, running=False)


def _fleet(item: Manned) -> dict[str, object]:
    record = item.record
    return {
        "id": record.id,
        "executor": record.executor,
        "label": item.label,
        "workers": record.workers,
        "alive": item.alive(),
        "started": record.started,
    }


def _unusable(plan: Plan, found: Freshness) -> dict[str, object]:
    from bench_core.cli.fresh import changed

    return {
        "changed": [
            {
                "name": plan.by_digest[digest].name,
                "digest": digest,
                "changes": [changed(item) for item in changes],
            }
            for digest, changes in found.stale.items()
        ],
        "damaged": [
            {
                "name": plan.by_digest[digest].name,
                "digest": digest,
                "message": error.message,
                "place": error.place,
                "cause": error.cause,
                "fix": error.fix,
            }
            for digest, error in found.damaged.items()
        ],
        "not_compared": list(found.unknown),
    }


def _data(
    plan: Plan,
    store: Store,
    states: dict[str, str],
    failures: dict[str, Failure | None],
    stale: tuple[Job, ...],
    epochs: Mapping[str, int],
) -> dict[str, object]:
    return {
        "name": plan.name,
        "store": str(store.path),
        "counts": dict(Counter(states.values())),
        "jobs": [
            {
                "name": job.name,
                "digest": job.digest,
                "state": states[job.digest],
                "stage": job.stage,
                "model": job.model.label,
                "dataset": job.dataset.label,
                "fold": job.fold.index,
                "epochs": job.epochs,
                "epochs_kept": epochs.get(job.digest),
                "running": _owner(store, job.digest) if states[job.digest] == "running" else None,
            }
            for job in plan.jobs
        ],
        "failures": [failure.to_json() for failure in failures.values() if failure is not None],
        "stale": [{"name": job.name, "digest": job.digest} for job in stale],
    }


def _owner(store: Store, digest: str) -> dict[str, object] | None:
    owner = store.owner(digest)
    if owner is None:
        return None
    facts = {"host": owner.host, "pid": owner.pid, "since": owner.started}
    return facts | {"silent_seconds": _silence(store, owner)}


def _silence(store: Store, owner: ClaimOwner) -> float | None:
    """Return for how long an owner of another machine has been silent, None for one that is seen to run."""
    silence = store.silence(owner.job) if owner.running is None else None
    return None if silence is None else round(silence, 1)


def _print(
    plan: Plan,
    store: Store,
    states: dict[str, str],
    failures: dict[str, Failure | None],
    stale: tuple[Job, ...],
    epochs: Mapping[str, int],
    spec: Path,
) -> None:
    from rich.text import Text

    from bench_core.cli.matrix import legend, matrix, rows_of

    out = console()
    counts = Counter(states.values())
    out.print(Text(f"{plan.name}: {counts['done']} of {len(plan.jobs)} jobs done", style="bold"))
    out.print()
    rows = rows_of(plan.jobs, states)
    out.print(matrix(rows, out))
    out.print(legend(rows, out))
    running = [job for job in plan.jobs if states[job.digest] == "running"]
    for job in running[:MOST_LISTED]:
        owner = store.owner(job.digest)
        if owner is not None:
            text = f"running: {job.name}, process {owner.pid} on {owner.host} since {owner.started}"
            silence = _silence(store, owner)
            if silence is not None and silence > owner.lease:
                time = f"{silence:.0f} s" if silence < 120 else f"{silence / 60:.0f} min"
                text += f"; no sign of life for {time}: `bench run` takes it over after a while"
            out.print(Text(text))
    _more(len(running))
    where = "" if str(store.path) == "results" else f" --store {shlex.quote(str(store.path))}"
    cut_off = [job for job in plan.jobs if job.digest in epochs and states[job.digest] == "todo"]
    for job in cut_off[:MOST_LISTED]:
        at = f"after epoch {epochs[job.digest]} of {job.epochs}" if job.epochs else "in its work"
        out.print(Text(f"interrupted: {job.name} {at}; `bench run` resumes it there", style="yellow"))
    _more(len(cut_off))
    alike: dict[tuple[str | None, ...], list[Failure]] = {}
    for failure in failures.values():
        if failure is not None:
            alike.setdefault(reason_of(failure), []).append(failure)
    for first, *others in list(alike.values())[:MOST_LISTED]:
        more = f" and {len(others)} more" if others else ""
        whose = f" ({first.fault})" if first.fault != "method" else ""
        out.print(Text(f"failed{whose}: {first.name}{more}: {first.message}", style="red"))
        out.print(Text(f"  log: bench logs {first.digest[:12]}{where}"))
    _more(len(alike))
    if stale:
        out.print(
            Text(
                f"stale: {len(stale)} results in the place of planned jobs were made under other settings "
                "and are not used",
                style="yellow",
            )
        )
        for job in stale[:MOST_LISTED]:
            out.print(Text(f"  {job.name}: {job.digest[:12]} (see: bench show {job.digest[:12]}{where})"))
        _more(len(stale))
    if counts["done"] < len(plan.jobs):
        out.print(Text(f"next: bench run {shlex.quote(str(spec))}{where}"))
    else:
        out.print(Text(f"next: bench report {shlex.quote(str(spec))}{where}"))


def _more(count: int) -> None:
    if count > MOST_LISTED:
        say(f"  and {count - MOST_LISTED} more (--json has all)")
