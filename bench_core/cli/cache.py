"""`bench cache`: what decoded images take up, whether they are whole, and how they are removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, STORE, print_json, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.data.caches import Cache

NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")


@click.group()
def command() -> None:
    """List, remove or verify the caches of decoded images.

    They lie in the folder that SEGTRIAL_CACHE names, or else in the store; the next run builds what it lacks.
    """


@command.command("ls")
@STORE
@JSON
def list_(store: Path, as_json: bool) -> None:
    """List caches: dataset, image size, images, bytes, age, and whether each is whole.

    Images are not read (see `bench cache verify`).
    """
    from bench_core.data.caches import list_caches

    folder = _folder(store)
    found = list_caches(folder)
    if as_json:
        print_json({"folder": str(folder), "caches": [_plain(cache) for cache in found]})
        return
    if not found:
        say(f"no caches in {folder}")
        return
    rows = [("name", "size", "images", "on disk", "written", "state")]
    rows += [
        (
            cache.name,
            f"{cache.image_size} px",
            "?" if cache.images is None else str(cache.images),
            _size(cache.bytes),
            f"{_age(cache.age)} ago",
            cache.state,
        )
        for cache in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say(f"{_size(sum(cache.bytes for cache in found))} in {folder}")


@command.command()
@NAMES
@STORE
@JSON
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...], store: Path, as_json: bool) -> None:
    """Hold every image of the caches against its checksum.

    Exit codes: 0 all are whole, 1 some are not: the next run builds these anew.
    """
    from bench_core.data.caches import list_caches
    from bench_core.data.caches import verify as verify_cache

    folder = _folder(store)
    problems = {cache: verify_cache(cache) for cache in _chosen(list_caches(folder), names, folder)}
    if as_json:
        print_json({"caches": [{**_plain(cache), "problem": text} for cache, text in problems.items()]})
    else:
        for cache, text in problems.items():
            say(f"{cache.name}: {text or f'whole, {cache.images} images'}")
        if not problems:
            say(f"no caches in {folder}")
    if any(problems.values()):
        context.exit(1)


@command.command()
@NAMES
@click.option("--all", "everything", is_flag=True, help="All caches of the folder.")
@click.option("--damaged", is_flag=True, help="Those that are damaged, unfinished or of another version.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@STORE
@JSON
@click.pass_context
def rm(
    context: click.Context,
    names: tuple[str, ...],
    everything: bool,
    damaged: bool,
    yes: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Remove caches by name (or its beginning); those in use stay.

    Results stay, too: a cache is built anew when it is needed. Exit codes: 0 removed, 1 some are in use.
    """
    from bench_core.data.caches import list_caches, remove

    if not (names or everything or damaged):
        raise click.UsageError("name caches, or choose --damaged or --all")
    folder = _folder(store)
    found = list_caches(folder)
    chosen = found if everything else _chosen(found, names, folder) if names else []
    if damaged:
        chosen = [*chosen, *(cache for cache in found if cache.state != "whole" and cache not in chosen)]
    if as_json and not yes:
        raise click.UsageError("with --json nothing is asked: add --yes")
    if chosen and not yes:
        for cache in chosen:
            say(f"{cache.name}  {_size(cache.bytes)}")
        click.confirm(f"Remove {_size(sum(cache.bytes for cache in chosen))}?", abort=True)
    stays = {cache: remove(cache) for cache in chosen}
    if as_json:
        print_json({"caches": [{**_plain(cache), "kept": text} for cache, text in stays.items()]})
    else:
        for cache, text in stays.items():
            say(f"{cache.name}: {f'stays: {text}' if text else 'removed'}")
        if not chosen:
            say("nothing to remove")
    if any(stays.values()):
        context.exit(1)


def _folder(store: Path) -> Path:
    from bench_core.cli.data import cache_folder
    from bench_core.store.store import Store

    return cache_folder() or Store(store).cache


def _chosen(found: Sequence[Cache], names: Sequence[str], folder: Path) -> list[Cache]:
    """Return the caches whose names begin with one of these, or all."""
    if not names:
        return list(found)
    for name in names:
        if not name or not any(cache.name.startswith(name) for cache in found):
            raise BenchError(
                f"no cache begins with {name!r}",
                place=str(folder),
                fix="choose from the names that `bench cache ls` prints",
            )
    return [cache for cache in found if cache.name.startswith(tuple(names))]


def _plain(cache: Cache) -> dict[str, Any]:
    return {
        "name": cache.name,
        "dataset": cache.dataset,
        "image_size": cache.image_size,
        "images": cache.images,
        "bytes": cache.bytes,
        "age_seconds": round(cache.age),
        "state": cache.state,
        "problem": cache.problem,
    }


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def _age(seconds: float) -> str:
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
