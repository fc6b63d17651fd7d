"""`bench export ro-crate`: a folder with report, tables and archive that says what it holds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, say

if TYPE_CHECKING:
    from bench_core.export.crate import Person


def _license(_: click.Context, __: click.Parameter, value: str) -> str:
    from bench_core.export.crate import parse_license

    try:
        return parse_license(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _authors(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[Person, ...]:
    from bench_core.export.crate import parse_author

    try:
        return tuple(parse_author(item) for item in value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@SPEC
@SET
@STORE
@click.option(
    "--license",
    "license_url",
    required=True,
    callback=_license,
    metavar="SPDX|URL",
    help="Of the folder: CC-BY-4.0, or an address.",
)
@click.option(
    "--author",
    "authors",
    multiple=True,
    callback=_authors,
    metavar="NAME[=URL]",
    help="An author, with an ORCID address if there is one.",
)
@click.option("--images", is_flag=True, help="Pack the pictures of cases into the archive.")
@click.option("--weights", is_flag=True, help="Pack the weights of the networks into the archive.")
@click.option(
    "--out",
    type=PathType(file_okay=False),
    default=None,
    help="A new or empty folder.  [default: exports/NAME/ro-crate]",
)
@JSON
def command(
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    license_url: str,
    authors: tuple[Person, ...],
    images: bool,
    weights: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write a research object of SPEC: report, tables, archive, spec, and RO-Crate 1.2 metadata.

    ro-crate-metadata.json names study, files with size and SHA-256, datasets with license and citation,
    models, tools with versions, and authors. The report shows single images of the datasets. The time is
    now, or SOURCE_DATE_EPOCH. Nothing is overwritten. Exit codes: 0 written, 1 invalid spec, or a finished
    job is damaged and left out, 2 could not write, or nothing is finished.
    """
    from bench_core.analysis.gather import gather
    from bench_core.cli.export_every_eval import now
    from bench_core.export.crate_folder import write_crate
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    loaded, plan = load_plan(spec, overrides)
    command_line = shlex.join([str(spec), *(word for item in overrides for word in ("--set", item))])
    held = Store(store)
    evidence = gather(loaded.spec, plan, loaded.registry, held, command_line, loaded.base)
    folder = out or Path("exports") / loaded.spec.name / "ro-crate"
    done = write_crate(
        loaded,
        plan,
        held,
        evidence,
        folder,
        license_url=license_url,
        authors=authors,
        created=now(),
        images=images,
        weights=weights,
    )
    for error in done.damaged:
        say(f"damaged, left out: {error}", err=True)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "study_digest": done.manifest.study,
                "jobs": {"done": done.manifest.done, "planned": done.manifest.planned},
                "damaged": [{"message": error.message, "place": error.place} for error in done.damaged],
            }
        )
    else:
        say(f"wrote {folder}")
        say(f"study digest: {done.manifest.study}")
    if done.damaged:
        click.get_current_context().exit(1)
