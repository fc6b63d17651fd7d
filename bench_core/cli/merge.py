"""`bench merge`: the results of several machines in one store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, PathType, print_json, say
from bench_core.errors import BenchError, StoreError

if TYPE_CHECKING:
    from bench_core.cli.reading import Source
    from bench_core.store.merge import Merged
    from bench_core.store.store import Store


@click.command()
@click.argument("stores", nargs=-1, required=True, type=PathType())
@click.option(
    "--out", type=PathType(file_okay=False), required=True, metavar="STORE", help="Store that takes them."
)
@click.option(
    "--prefer",
    type=PathType(),
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

    An archive that leaves nothing out (packed with --images --weights) is as good as a store.

    A job that several stores hold with the same content is taken once. Of a job with different contents none
    is taken unless --prefer chooses; what differs is said, and nothing is overwritten: what --out held moves
    to its folder `replaced`. Cut off, the same command resumes. Exit codes: 0 every job is in the store, 1
    there are conflicts, or jobs that are damaged or at work and were not taken, 2 could not run.
    """
    from bench_core.cli.progress_bar import progress_bar
    from bench_core.store.merge import merge

    with ExitStack() as stack:
        unique = {path.resolve(): path for path in reversed(stores)}
        places = [stack.enter_context(_opened(path)) for path in [*unique.values()][::-1]]
        target = _target(out, dry_run)
        chosen = _preferred(prefer, [*((source.place, source.store) for source in places), (out, target)])
        sources = [source.store for source in places if not _same(source.place, out)]
        with progress_bar("checking") as progress:
            found = merge(sources, target, chosen, dry=dry_run, progress=progress)
        shown = _Shown(places)
        if as_json:
            print_json(_data(found, out, dry_run, shown))
        else:
            _print(found, out, dry_run, (*stores,), shown)
    if not found.complete:
        context.exit(1)


class _Shown:
    """Names places in unpacked archives as places in the archives."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def __call__(self, text: str | Path) -> str:
        shown = str(text)
        for source in self._sources:
            if source.unpacked is not None and shown == str(source.store.path):
                return str(source.place)
            shown = source.shown(shown)
        return shown


@contextmanager
def _opened(path: Path) -> Iterator[Source]:
    """Yield a store, or that of an archive, which then keeps the archive's spec as stores do."""
    from bench_core.cli.reading import reading_store
    from bench_core.export.kept import study_of_archive
    from bench_core.store.archive import is_archive, read_manifest
    from bench_core.store.studies import keep_study

    packed = is_archive(path)
    if packed and (out := read_manifest(path).left_out):
        kinds = sorted({item.kind for item in out.values()})
        raise BenchError(
            "an archive that leaves files out cannot fill a store",
            place=str(path),
            cause=f"it lacks {len(out)} files of its jobs: {' and '.join(kinds)}",
            fix="have it packed with --images --weights, or get the store itself",
        )
    if not packed and not (path / "store.json").exists():
        raise BenchError(
            "there is no store",
            place=str(path),
            fix="name folders that `bench run --store` wrote, or archives of them",
        )
    with reading_store(path) as source:
        if source.manifest is not None and source.unpacked is not None:
            try:
                keep_study(source.store.path, study_of_archive(source.unpacked, source.manifest, path))
            except StoreError as error:
                say(
                    f"note: what was run is not taken: {error.message}: {source.shown(str(error.cause))}",
                    err=True,
                )
        yield source


def _target(out: Path, dry_run: bool) -> Store:
    from bench_core.store.store import Store

    return Store(out, create=not dry_run)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _preferred(prefer: Path | None, stores: Sequence[tuple[Path, Store]]) -> Store | None:
    if prefer is None:
        return None
    found = [store for place, store in stores if _same(place, prefer)]
    if not found:
        listed = ", ".join(str(place) for place, _ in stores)
        raise BenchError(f"--prefer {prefer} is none of the stores", cause=listed, fix="name one of them")
    # Where --out is a source, too, the target is the one that holds its jobs.
    return found[-1]


def _print(found: Merged, out: Path, dry_run: bool, stores: tuple[Path, ...], shown: _Shown) -> None:
    verb = "would be taken" if dry_run else "taken"
    for place, number in found.taken.items():
        say(f"{number} {'job' if number == 1 else 'jobs'} {verb} from {shown(place)}")
    say(f"{found.present} were in {out} already; {found.alike} are in several of the stores alike")
    for place in found.replaced:
        say(f"replaced: the job that {out} held before lies in {place}")
    for conflict in found.conflicts:
        say(f"conflict: {conflict.job.name} is not the same in all stores, and was not taken", err=True)
        for place in conflict.places:
            say(f"  {shown(place)}", err=True)
        for text in conflict.differences:
            say(f"    {shown(text)}", err=True)
    if found.conflicts:
        words = shlex.join(
            ["bench", "merge", *map(str, stores), "--out", str(out), "--prefer", str(stores[0])]
        )
        say(f"  fix: choose whose results count: {words}", err=True)
    for refused in found.refused:
        say(shown(f"not taken: {refused.error}"), err=True)
    for name in found.busy:
        say(f"not taken: another process works on {name} in {out}; merge again when it is done", err=True)
    for text in found.notes:
        say(f"note: {shown(text)}", err=True)


def _data(found: Merged, out: Path, dry_run: bool, shown: _Shown) -> dict[str, Any]:
    return {
        "out": str(out),
        "dry_run": dry_run,
        "taken": {shown(place): number for place, number in found.taken.items()},
        "present": found.present,
        "alike": found.alike,
        "replaced": [str(place) for place in found.replaced],
        "conflicts": [
            {
                "job": item.job.name,
                "digest": item.job.digest,
                "places": [shown(place) for place in item.places],
                "differences": [shown(text) for text in item.differences],
            }
            for item in found.conflicts
        ],
        "refused": [
            {
                "folder": shown(item.place),
                "message": shown(item.error.message),
                "place": item.error.place and shown(item.error.place),
                "fix": item.error.fix and shown(item.error.fix),
            }
            for item in found.refused
        ],
        "busy": list(found.busy),
        "notes": [shown(text) for text in found.notes],
    }
