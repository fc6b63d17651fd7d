"""`bench export every-eval-ever`: results in a schema that many kinds of evaluations share."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, say

if TYPE_CHECKING:
    from bench_core.export.every_eval import Relationship


@click.command()
@SPEC
@SET
@STORE
@click.option("--organization", required=True, metavar="NAME", help="Who ran the evaluation.")
@click.option("--organization-url", "url", default="", metavar="URL", help="Its page.")
@click.option(
    "--relationship",
    type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
    default="first_party",
    show_default=True,
    help="Of the evaluator to whoever trained the models.",
)
@click.option(
    "--correct",
    type=click.FloatRange(0, 1),
    default=None,
    metavar="SCORE",
    help="Write records of single images, too, with their ids; an image is correct from this score on.",
)
@click.option(
    "--out",
    type=PathType(file_okay=False),
    default=None,
    help="A new or empty folder.  [default: exports/NAME/every-eval-ever]",
)
@JSON
def command(
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    organization: str,
    url: str,
    relationship: Relationship,
    correct: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the scores of SPEC as records of Every Eval Ever 0.3.0, one JSON file per model.

    Each dataset and metric has two scores: the mean over folds, and the mean over test images with its
    standard deviation. Files lie where the schema's collection has them, data/STUDY/ORGANIZATION/MODEL/. No
    id of an image is in them, unless --correct asks for records of images. The time of the record is now, or
    SOURCE_DATE_EPOCH. Nothing is overwritten. Exit codes: 0 written, 1 invalid spec, 2 could not write, or
    nothing is finished.
    """
    from bench_core.errors import StoreError
    from bench_core.export.every_eval import Source, record_files
    from bench_core.export.write import write_files
    from bench_core.study import opened

    if not organization.strip():
        raise click.UsageError("--organization is empty")
    study = opened(spec, store, overrides)
    if not study.evidence.folds:
        raise StoreError("no evaluation is finished", place=str(store))
    source = Source(organization.strip(), url.strip(), relationship)
    folder = out or Path("exports") / study.name / "every-eval-ever"
    number = write_files(iter(record_files(study.evidence, source, now(), correct)), folder)
    if as_json:
        print_json({"folder": str(folder), "files": number, "complete": study.complete})
        return
    say(f"wrote {number} {'file' if number == 1 else 'files'} to {folder}")


def now() -> int:
    """Return seconds since 1970: those of the convention for reproducible builds, where they are set."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(fixed) if fixed.isdecimal() else int(time.time())
