"""`bench data`: what is known of datasets, and whether those of a spec can be used, without training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, print_json_line, say

if TYPE_CHECKING:
    from bench_core.data.check import Prepared
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry


class _Group(click.Group):
    """Says what to write where a spec stands in the place of a subcommand."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and Path(args[0]).suffix in (".yaml", ".yml"):
            raise click.UsageError(f"say what to do with it: bench data check {args[0]}")
        return super().resolve_command(ctx, args)


TARGET = click.argument("target", metavar="SPEC|NAME")
ONLY = click.option("--only", multiple=True, metavar="LABEL", help="These datasets of the spec only.")
ROOT = click.option(
    "--root", type=PathType(), help="With NAME: where the dataset lies. A spec says it itself."
)
OPTION = click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="With NAME: an option of the dataset."
)
ALLOW = click.option(
    "--allow-missing", is_flag=True, help="Take what is there where published files are missing."
)


@click.group(cls=_Group)
def command() -> None:
    """Look at datasets before anything is trained: facts, problems, pictures, small copies.

    Needs no framework. Exit codes: 0 usable, 1 invalid spec or name, 2 unusable data.
    """


@command.command()
@click.argument("name")
@click.option("--plugin", "files", multiple=True, type=PathType(), help="Also load this file.")
@JSON
def info(name: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Print all that is declared of dataset NAME: task, terms, citation, how to get it, parts, options."""
    from bench_core.cli.data_facts import facts, lines
    from bench_core.plugins.wiring import load_registry

    declared = load_registry(files).dataset(name)
    if as_json:
        print_json(facts(declared))
        return
    for line in lines(declared):
        say(line)


@command.command()
@TARGET
@SET
@ONLY
@ROOT
@OPTION
@ALLOW
@STORE
@JSON
def check(
    target: str,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    root: Path | None,
    options: tuple[str, ...],
    allow_missing: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Check and describe the data of SPEC, or dataset NAME at --root; name every problem at once.

    Counts, sizes, classes, groups, folds, attributes, duplicates, warnings. Decodes each image once, as
    `bench run` would, into the store's cache.
    """
    from bench_core.cli.data_target import open_target
    from bench_core.cli.data_view import as_json as plain
    from bench_core.cli.data_view import lines

    ready = open_target(target, overrides, only, root, options, allow_missing, store)
    if as_json:
        print_json({"datasets": [plain(item) for item in ready]})
        return
    for number, item in enumerate(ready):
        say(("\n" if number else "") + "\n".join(lines(item)))


@command.command()
@SPEC
@SET
@ONLY
@ALLOW
@STORE
@JSON
def prepare(
    spec: Path,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    allow_missing: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Decode, resize and cache the data of SPEC, find duplicates, deal folds: all that `bench run` would.

    Killed and started again it resumes. Prints where each cache lies.
    """
    from bench_core.cli.data_target import is_spec, open_target
    from bench_core.cli.data_view import cached, cached_line

    if not is_spec(spec):
        raise click.UsageError(
            f"a cache is made for the image size of a spec; bench data check {spec} looks at a dataset alone"
        )
    ready = open_target(str(spec), overrides, only, None, (), allow_missing, store)
    if as_json:
        print_json({"datasets": [cached(item) for item in ready]})
        return
    for item in ready:
        say(cached_line(item))
    warn(ready)


@command.command()
@TARGET
@SET
@ONLY
@ROOT
@OPTION
@ALLOW
@STORE
@click.option("--out", type=PathType(file_okay=False), default=Path("data-sheets"), show_default=True)
@click.option("--images", default=60, show_default=True, type=click.IntRange(1, 2000), help="Per dataset.")
@JSON
def show(
    target: str,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    root: Path | None,
    options: tuple[str, ...],
    allow_missing: bool,
    store: Path,
    out: Path,
    images: int,
    as_json: bool,
) -> None:
    """Draw contact sheets of SPEC's datasets, or of NAME at --root: OUT/index.html and one PNG per dataset.

    Images with the contours of their classes, counts by fold and class, and clusters of near-duplicates.
    """
    from bench_core.cli.data_target import open_target
    from bench_core.report.contact.write import write_sheets

    ready = open_target(target, overrides, only, root, options, allow_missing, store)
    written = write_sheets(ready, out, images)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {path}")


@command.command()
@click.argument("name")
@click.option("--samples", default=24, show_default=True, type=click.IntRange(4, 10_000), help="How many.")
@click.option("--out", type=PathType(file_okay=False), required=True, help="A folder; OUT/NAME is made.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--plugin", "files", multiple=True, type=PathType(), help="Also load this file.")
@JSON
def fake(name: str, samples: int, out: Path, seed: int, files: tuple[Path, ...], as_json: bool) -> None:
    """Draw a small copy of dataset NAME in its published layout, for tests and demonstrations.

    It lies in OUT/NAME; OUT/NAME-truth.json lists what is in it: samples, groups, planted oddities.
    """
    from bench_core.data.fake import draw_fake
    from bench_core.plugins.wiring import load_registry

    made = draw_fake(load_registry(files).dataset(name), out, samples=samples, seed=seed)
    if as_json:
        print_json({"root": str(made.root), "truth": str(made.truth), "samples": made.samples})
        return
    say(f"wrote {made.root}: {made.samples} labelled images; what is in them: {made.truth}")


def open_datasets(
    jobs: Sequence[Job], registry: Registry, cache: Path, planned: Mapping[str, Job]
) -> list[Prepared]:
    """Open all datasets of the jobs, with progress on a terminal; raises DataError with all problems.

    `planned` has all jobs of the plan by digest.
    """
    from bench_core.cli.data_progress import showing
    from bench_core.execute.opened import prepare_datasets

    with showing() as progress:
        return prepare_datasets(jobs, registry, cache, progress, planned)


def warn(ready: Iterable[Prepared], *, as_json: bool = False) -> None:
    """Print what in the data should make the user look again, to stderr; to stdout for programs."""
    for item in ready:
        for text in item.warnings:
            if as_json:
                print_json_line({"event": "warning", "dataset": item.label, "message": text})
            say(f"warning: dataset {item.label}: {text}", err=True)


def cache_folder() -> Path | None:
    """Return the folder of caches that the environment names, or None for the store's own."""
    import os

    from bench_core.files.paths import expand

    named = os.environ.get("SEGTRIAL_CACHE")
    return expand(named, "SEGTRIAL_CACHE").resolve() if named else None
