"""`bench accept`: keep results although something that they stand on has changed since."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, print_json, say

LONGEST_REASON = 4000


@click.command()
@SPEC
@SET
@click.option("--because", required=True, metavar="TEXT", help="Why the change makes no difference.")
@STORE
@JSON
def command(spec: Path, overrides: tuple[str, ...], because: str, store: Path, as_json: bool) -> None:
    """Accept the stale results of SPEC: something that they stand on has changed, which makes no difference.

    The reason, the hashes of before and now, the time and the user's name are kept in the store, and every
    report prints them. Exit codes: 0 accepted or nothing to accept, 1 invalid spec, 2 could not be done.
    """
    from bench_core.cli.fresh import ground_of, named, reasons
    from bench_core.errors import BenchError
    from bench_core.execute.fresh import freshness
    from bench_core.plan.load import load_plan
    from bench_core.store.accepted import Acceptance, add_acceptance
    from bench_core.store.store import Store

    reason = " ".join(because.split())
    if not reason or len(reason) > LONGEST_REASON:
        raise BenchError(
            "an acceptance needs its reason",
            place="--because",
            fix=f"say in up to {LONGEST_REASON} letters why the change makes no difference",
        )
    loaded, plan = load_plan(spec, overrides)
    opened = Store(store)
    found = freshness(plan.jobs, opened, ground_of(loaded.registry, opened))
    if found.stale:
        results = {
            digest: {change.what: (change.was, change.now) for change in changes}
            for digest, changes in found.stale.items()
        }
        time = datetime.now(UTC).isoformat(timespec="seconds")
        add_acceptance(store, Acceptance(time, _user(), reason, results))
    groups = reasons([job for job in plan.jobs if job.digest in found.stale], found)
    if as_json:
        print_json(
            {
                "accepted": sorted(found.stale),
                "because": reason,
                "changes": [{"change": text, "jobs": [job.name for job in jobs]} for text, jobs in groups],
                "not_compared": list(found.unknown),
            }
        )
        return
    for change, jobs in groups:
        say(f"accepted: {named(jobs)}: {change}")
    if not found.stale:
        say("nothing to accept: no finished result of this spec stands on something that has changed")
    for text in found.unknown:
        say(f"note: {text}", err=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
