"""`bench weights`: which files the networks' pretrained weights are in, and how to get them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, console, print_json, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.declarations import PublishedFile
    from bench_core.execute.weights import Need
    from bench_core.plugins.registry import Registry
    from bench_core.weights.transfer import Progress

SPEC_SUFFIXES = (".yaml", ".yml")


@click.group(name="weights")
def command() -> None:
    """List the files of pretrained weights, or download them into $SEGTRIAL_WEIGHTS."""


@command.command(name="list")
@click.argument("names", nargs=-1, metavar="[SPEC|MODEL|FILE]...")
@JSON
def list_files(names: tuple[str, ...], as_json: bool) -> None:
    """List files, whether they are here, their license, what is known of their hash, and their origin.

    Without names: those of every declared model and each choice of its options.
    """
    from bench_core.execute.weights import all_needs
    from bench_core.plugins.wiring import load_registry

    registry = load_registry()
    needs = [need for name in names for need in _needs(name, registry)] if names else all_needs(registry)
    rows = [_row(need) for need in needs]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = f"present {row['file']}" if row["file"] else "missing"
        also, models, origin = " or ".join(row["names"]), ", ".join(row["models"]), row["url"] or row["how"]
        say("\t".join((also, state, models, row["license"], row["hash"], origin)))
    if not rows:
        say("no weights files are needed")


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="SPEC|MODEL|FILE...")
@click.pass_context
def get(context: click.Context, names: tuple[str, ...]) -> None:
    """Download the files that a spec or a model needs, or a file by its name.

    What is here already is checked against its recorded SHA-256. A download that was cut off resumes. Exits
    with 2 if a file could not be had.
    """
    from bench_core.plugins.wiring import load_registry

    registry = load_registry()
    needs = {need.names: need for name in names for need in _needs(name, registry)}
    if not needs:
        say("no weights files are needed")
    if not get_files(needs.values()):
        context.exit(2)


def get_files(needs: Iterable[Need], *, err: bool = False) -> bool:
    """Download what is not here and verify what is, saying so; return whether all went well.

    With `err` it is said on standard error, where standard output belongs to somebody else.
    """
    from bench_core.execute.weights import fetch
    from bench_core.weights.download import origin_of_hash, verify

    complete = True
    for need in needs:
        place = need.place
        try:
            if place is not None:
                digest, word = verify(place, need.of_name(place.name)), "present"
            else:
                place, digest = fetch(need, _progress)
                word = "fetched"
            origin = origin_of_hash(place, need.of_name(place.name))
            say(f"{word}  {place}  sha256 {digest}  ({origin})", err=err)
        except BenchError as error:
            complete = False
            say(f"error: {error}", err=True)
    return complete


def _needs(name: str, registry: Registry) -> list[Need]:
    from bench_core.execute.weights import all_needs, needs_of_jobs, needs_of_model

    if name.endswith(SPEC_SUFFIXES):
        from bench_core.plan.load import load_plan

        loaded, plan = load_plan(Path(name))
        return needs_of_jobs(plan.jobs, loaded.registry)
    by_file = [need.only(name) for need in all_needs(registry) if name in need.names]
    return by_file or needs_of_model(registry.model(name))


def _row(need: Need) -> dict[str, Any]:
    place = need.place
    offered = next((each for each in need.file.everywhere if each.url), None)
    return {
        "names": list(need.names),
        "file": str(place) if place else None,
        "models": list(need.models),
        "license": need.license,
        "url": offered.url if offered else "",
        "sha256": offered.known_sha256 if offered else "",
        "hash": _hash(need, place),
        "how": need.fix,
    }


def _hash(need: Need, place: Path | None) -> str:
    """Return in words what is known of a file's SHA-256."""
    from bench_core.weights.download import origin_of_hash

    try:
        if place is not None:
            return f"hash {origin_of_hash(place, need.of_name(place.name))}"
    except BenchError as error:
        return error.message
    known = max((len(each.known_sha256) for each in need.file.everywhere), default=0)
    if known == 0:
        return "hash not published"
    return "hash published" if known == 64 else f"first {known} digits of its hash published"


@contextmanager
def _progress(published: PublishedFile) -> Iterator[Progress]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    screen = console(stderr=True)
    if not screen.is_terminal:
        say(f"fetching {published.url}", err=True)
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task(published.name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
