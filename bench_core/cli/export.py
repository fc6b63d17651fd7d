"""`bench export`: results as files for other programs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, say

if TYPE_CHECKING:
    from bench_core.analysis.evidence import Finished
    from bench_core.study import StudyResults

WHAT = ("table", "counts", "predictions")
OTHERS = {
    "model": "bench_core.cli.export_model",
    "scores": "bench_core.cli.export_scores",
    "every-eval-ever": "bench_core.cli.export_every_eval",
    "ro-crate": "bench_core.cli.export_crate",
}
"""What has options of its own, and the module of its command."""


class _Export(click.Command):
    """Hands over to the command of an archive where --archive is given, and to those of OTHERS."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of the command that the words ask for."""
        other, rest = self.handed(args)
        if other is None:
            return super().make_context(info_name, args, parent, **extra)
        words = [str(info_name), *args[: len(args) - len(rest)]]
        return other.make_context(" ".join(words), rest, parent, **extra)

    def handed(self, args: list[str]) -> tuple[click.Command | None, list[str]]:
        """Return the other command that the words ask for and what they say to it, or None."""
        module = OTHERS.get(args[0]) if args else None
        rest = args[1:] if module else args
        if any(word == "--archive" or word.startswith("--archive=") for word in args):
            module, rest = "bench_core.cli.export_archive", args
        return (import_module(module).command if module else None), rest


@click.command(cls=_Export)
@click.argument("what", type=click.Choice((*WHAT, *OTHERS)))
@SPEC
@SET
@STORE
@click.option("--name", "names", multiple=True, metavar="TABLE", help="table: this one; all if not given.")
@click.option("--model", "models", multiple=True, metavar="LABEL", help="These models only.")
@click.option("--dataset", "datasets", multiple=True, metavar="LABEL", help="These datasets only.")
@click.option("--stage", default="evaluate", show_default=True, metavar="LABEL", help="evaluate, or a step.")
@click.option(
    "--size",
    type=click.Choice(["protocol", "original"]),
    default="protocol",
    show_default=True,
    help="predictions: the size that models are compared at, or that of the images.",
)
@click.option(
    "--out",
    type=PathType(file_okay=False),
    default=None,
    help="A new or empty folder.  [default: exports/NAME/WHAT]",
)
@click.option(
    "--archive",
    metavar="FILE",
    expose_value=False,
    help="Pack the study into one file instead, for `bench verify FILE` and `bench report FILE`. "
    "See `bench export --archive FILE --help`.",
)
@JSON
def command(
    what: str,
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    names: tuple[str, ...],
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    stage: str,
    size: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write tables or pixel counts of SPEC as CSV, or predicted label maps as PNG.

    Pixels of the PNGs are class indices, and the palette gives them the report's colors. Nothing is
    overwritten. What else there is has options of its own: see `bench export scores --help`, and likewise
    model (networks as files), every-eval-ever and ro-crate. Exit codes: 0 written, 1 invalid spec, 2 could
    not write, or nothing is finished.
    """
    if what in OTHERS:
        raise click.UsageError(f"{what} comes first: bench export {what} SPEC ...")
    from bench_core.export.write import count_files, prediction_files, table_files, write_files
    from bench_core.study import opened

    if names and what != "table":
        raise click.UsageError("--name is of tables")
    if what == "table" and (models or datasets or stage != "evaluate"):
        raise click.UsageError("--model, --dataset and --stage are not of tables")
    if size == "original" and what != "predictions":
        raise click.UsageError("--size is of predictions")
    study = opened(spec, store, overrides)
    for gap in study.evidence.gaps:
        if gap.state == "unreadable":
            say(f"damaged, left out: {gap.job.name}: {gap.reason}\n  fix: {gap.fix}", err=True)
    folder = out or Path("exports") / study.name / what
    if what == "table":
        files = table_files(study, names)
    else:
        jobs = _jobs(study, models, datasets, stage)
        files = count_files(jobs) if what == "counts" else prediction_files(study, jobs, size == "original")
    number = write_files(files, folder)
    if as_json:
        damaged = [gap for gap in study.evidence.gaps if gap.state == "unreadable"]
        left_out = [{"job": gap.job.name, "reason": gap.reason, "fix": gap.fix} for gap in damaged]
        print_json({"folder": str(folder), "files": number, "damaged": left_out})
        return
    say(f"wrote {number} {'file' if number == 1 else 'files'} to {folder}")


def _jobs(
    study: StudyResults, models: tuple[str, ...], datasets: tuple[str, ...], stage: str
) -> list[Finished]:
    """Return the finished jobs that left label maps; raises StoreError where there is none."""
    from bench_core.errors import StoreError

    found = [
        done
        for model in models or study.models
        for dataset in datasets or study.datasets
        for done in study.finished(model, dataset, stage)
        if "predictions.npz" in done.result.files
    ]
    if not found:
        raise StoreError("no finished job has left label maps", place=str(study.store.path), cause=stage)
    return found
