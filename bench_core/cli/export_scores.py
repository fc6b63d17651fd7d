"""`bench export scores`: all per-image scores as one table."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, PathType, print_json, say


@click.command()
@SPEC
@SET
@STORE
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="Parquet needs the extra `parquet`.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="These metrics only.")
@click.option("--model", "models", multiple=True, metavar="LABEL", help="These models only.")
@click.option("--dataset", "datasets", multiple=True, metavar="LABEL", help="These datasets only.")
@click.option(
    "--out",
    type=PathType(file_okay=False),
    default=None,
    help="A new or empty folder.  [default: exports/NAME/scores]",
)
@JSON
def command(
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    form: str,
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Write every score of every test image of SPEC as one long table, scores.csv or scores.parquet.

    A row has model, family, dataset, fold, repeat, image, group, class, metric, value, unit and the
    attributes of the image. Rows without a class are the mean over the image's classes. Nothing is
    overwritten. Exit codes: 0 written, 1 invalid spec, 2 could not write, or nothing is finished.
    """
    from bench_core.export.scores import parquet_writer, scores_csv, scores_of
    from bench_core.export.write import write_files
    from bench_core.plugins.registry import unknown
    from bench_core.study import opened

    study = opened(spec, store, overrides)
    for kind, wanted, known in (("model", models, study.models), ("dataset", datasets, study.datasets)):
        for name in wanted:
            if name not in known:
                raise unknown(kind, name, known)
    scores = scores_of(study.evidence, models, datasets, metrics)
    content = (
        parquet_writer(scores) if form == "parquet" else lambda file: file.writelines(scores_csv(scores))
    )
    folder = out or Path("exports") / study.name / "scores"
    write_files(iter([(PurePosixPath(f"scores.{form}"), content)]), folder)
    path = folder / f"scores.{form}"
    if as_json:
        print_json({"file": str(path), "columns": list(scores.types), "jobs": len(scores.folds)})
        return
    say(f"wrote {path}")
