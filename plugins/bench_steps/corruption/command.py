"""`bench corruptions`: what the step `corruption` would draw, on the images of a spec's datasets."""

from __future__ import annotations

import re
from pathlib import Path

import click

from bench_core.cli.common import JSON, SET, STORE, PathType, print_json, say
from bench_core.cli.data import ALLOW, ONLY, OPTION, ROOT, TARGET
from bench_core.errors import UnknownNameError
from bench_steps.corruption.declared import KINDS, WORDS


@click.command("corruptions")
@TARGET
@SET
@ONLY
@ROOT
@OPTION
@ALLOW
@STORE
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.name for kind in KINDS]),
    help="These alone; without it, all that go with the modality.",
)
@click.option(
    "--modality", type=click.Choice(tuple(WORDS)), help="Of images whose dataset does not declare it."
)
@click.option("--out", type=PathType(file_okay=False), default=Path("corrupted-sheets"), show_default=True)
@click.option("--images", default=2, show_default=True, type=click.IntRange(1, 50), help="Per dataset.")
@JSON
def command(
    target: str,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    root: Path | None,
    options: tuple[str, ...],
    allow_missing: bool,
    store: Path,
    kinds: tuple[str, ...],
    modality: str | None,
    out: Path,
    images: int,
    as_json: bool,
) -> None:
    """Draw corruptions on images of SPEC's datasets, or of NAME at --root: one PNG per image in OUT.

    A row per kind: the image as it is, then severities 1 to 5. Nothing is trained or predicted.
    """
    from bench_core.cli.data_target import open_target
    from bench_core.report.contact.sheet import spread
    from bench_steps.corruption.sheet import chosen_kinds, sheet

    ready = open_target(target, overrides, only, root, options, allow_missing, store)
    written = []
    for number, item in enumerate(ready):
        try:
            chosen = chosen_kinds(item, kinds, modality)
        except ValueError as error:
            raise UnknownNameError(
                f"these corruptions cannot be drawn on {item.label}",
                cause=str(error),
                fix="choose others with --kind, or other datasets with --only",
            ) from error
        out.mkdir(parents=True, exist_ok=True)
        for place in spread(len(item.arrays.ids), images):
            name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{item.label}-{item.arrays.ids[place]}")[:100]
            path = out / f"{number:02d}-{place:05d}-{name}.png"
            sheet(item, place, chosen).save(path)
            written.append(path)
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {path}")
