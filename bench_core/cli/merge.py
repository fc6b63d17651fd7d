"""`bench merge`: the results of several machines in one store."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, PathType, print_json, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.store.merge import Merged
    from bench_core.store.store import Store


@click.command()
@click.argument("stores", nargs=-1, required=True, type=PathType())
@click.option(
    "--out", type=PathType(file_okay=False), required=True, metavar="STORE", help="Store that takes them."
)
@click.option(
    "--prefer",
    type=PathType(file_okay=False),
    default=None,
    metavar="STORE",
    help="One of the stores, or --out: its content of a job counts where others have another.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken, and change nothing.")
@JSON
@click.pass_context
def command(
    context: click.Context,
    stores: tuple[Path, ...],
    out: Path,
    prefer: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take the finished jobs of STORES into one store, each checked whole: seal, hashes, format, identity.

    A job that several stores hold with the same content is taken once. Of a job with different contents none
    is taken unless --prefer chooses; what differs is said, and nothing is overwritten: what --out held moves
    to its folder `replaced`. Cut off, the same command resumes. Exit codes: 0 every job is in the store, 1
    there are conflicts, or jobs that are damaged or at work and were not taken, 2 could not run.
    """
    from bench_core.cli.progress_bar import progress_bar
    from bench_core.store.merge import merge

    opened = [_opened(path) for path in {path.resolve(): path for path in reversed(stores)}.values()][::-1]
    target = _target(out, dry_run)
    chosen = _preferred(prefer, [*opened, target])
    sources = [store for store in opened if not _same(store.path, out)]
    with progress_bar("checking") as progress:
        found = merge(sources, target, chosen, dry=dry_run, progress=progress)
    if as_json:
        print_json(_data(found, out, dry_run))
    else:
        _print(found, out, dry_run, (*stores,))
    if not found.complete:
        context.exit(1)


def _opened(path: Path) -> Store:
    from bench_core.store.archive import is_archive
    from bench_core.store.store import Store

    if is_archive(path):
        raise BenchError(
            "an archive is not merged, for it can leave files of its jobs out",
            place=str(path),
            fix="unzip it and name its folder `results`, if it was packed with --images and --weights",
        )
    if not (path / "store.json").exists():
        raise BenchError(
            "there is no store", place=str(path), fix="name folders that `bench run --store` wrote"
        )
    return Store(path)


def _target(out: Path, dry_run: bool) -> Store:
    from bench_core.store.store import Store

    return Store(out, create=not dry_run)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _preferred(prefer: Path | None, stores: list[Store]) -> Store | None:
    if prefer is None:
        return None
    found = [store for store in stores if _same(store.path, prefer)]
    if not found:
        listed = ", ".join(str(store.path) for store in stores)
        raise BenchError(f"--prefer {prefer} is none of the stores", cause=listed, fix="name one of them")
    # Where --out is a source, too, the target is the one that holds its jobs.
    return found[-1]


def _print(found: Merged, out: Path, dry_run: bool, stores: tuple[Path, ...]) -> None:
    verb = "would be taken" if dry_run else "taken"
    for place, number in found.taken.items():
        say(f"{number} {'job' if number == 1 else 'jobs'} {verb} from {place}")
    say(f"{found.present} were in {out} already; {found.alike} are in several of the stores alike")
    for place in found.replaced:
        say(f"replaced: the job that {out} held before lies in {place}")
    for conflict in found.conflicts:
        say(f"conflict: {conflict.job.name} is not the same in all stores, and was not taken", err=True)
        for place in conflict.places:
            say(f"  {place}", err=True)
        for text in conflict.differences:
            say(f"    {text}", err=True)
    if found.conflicts:
        words = shlex.join(
            ["bench", "merge", *map(str, stores), "--out", str(out), "--prefer", str(stores[0])]
        )
        say(f"  fix: choose whose results count: {words}", err=True)
    for refused in found.refused:
        say(f"not taken: {refused.error}", err=True)
    for name in found.busy:
        say(f"not taken: another process works on {name} in {out}; merge again when it is done", err=True)
    for text in found.notes:
        say(f"note: {text}", err=True)


def _data(found: Merged, out: Path, dry_run: bool) -> dict[str, Any]:
    return {
        "out": str(out),
        "dry_run": dry_run,
        "taken": {str(place): number for place, number in found.taken.items()},
        "present": found.present,
        "alike": found.alike,
        "replaced": [str(place) for place in found.replaced],
        "conflicts": [
            {
                "job": item.job.name,
                "digest": item.job.digest,
                "places": [str(place) for place in item.places],
                "differences": list(item.differences),
            }
            for item in found.conflicts
        ],
        "refused": [
            {
                "folder": str(item.place),
                "message": item.error.message,
                "place": item.error.place,
                "fix": item.error.fix,
            }
            for item in found.refused
        ],
        "busy": list(found.busy),
        "notes": list(found.notes),
    }
