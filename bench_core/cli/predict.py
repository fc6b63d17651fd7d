"""`bench predict`: label maps of images of your own, by the networks of a finished study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, PathType, print_json, say
from bench_core.cli.reading import STORE_OR_ARCHIVE, TRUST, reading
from bench_core.errors import BenchError
from bench_core.text import visible_name

if TYPE_CHECKING:
    from bench_core.cli.reading import Source
    from bench_core.deploy.chosen import Wanted
    from bench_core.deploy.predict import Done

MODEL = click.option("--model", required=True, metavar="LABEL", help="The model, by its label in the spec.")
DATASET = click.option(
    "--dataset", default=None, metavar="LABEL", help="What it was trained on, where that is more than one."
)
REPEAT = click.option("--repeat", default=0, show_default=True, help="Of a study with repeats: which one.")
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")


@click.command()
@SPEC
@click.argument("images", nargs=-1, required=True, type=PathType())
@SET
@STORE_OR_ARCHIVE
@MODEL
@DATASET
@click.option(
    "--fold",
    default="all",
    show_default=True,
    metavar="all|best|N",
    help="all: mean probability of their networks; best: on its own validation images; or the number of one.",
)
@REPEAT
@click.option("--out", required=True, type=PathType(file_okay=False), help="Folder for the label maps.")
@click.option("--overlay", "overlays", is_flag=True, help="Draw outlines over the images, into DIR/overlays.")
@click.option("--overwrite", is_flag=True, help="Replace files of the same names in DIR.")
@DEVICE
@click.option(
    "--batch-size", type=click.IntRange(1, 4096), default=None, help="Images at a time.  [default: the jobs']"
)
@TRUST
@JSON
def command(
    spec: Path,
    images: tuple[Path, ...],
    overrides: tuple[str, ...],
    store: Path,
    model: str,
    dataset: str | None,
    fold: str,
    repeat: int,
    out: Path,
    overlays: bool,
    overwrite: bool,
    device: str,
    batch_size: int | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Predict IMAGES (files or folders) with a model of SPEC that is finished, at their original sizes.

    Images are decoded, prepared and scored as in the study. A picture's label map is a PNG with a palette, a
    NIfTI file's a NIfTI file; beside each lies a JSON file that says what made it. An image that cannot be
    read is told of, and the others are predicted. Exit codes: 0 all are predicted, 1 some are not, or the
    spec is invalid, 2 could not run.
    """
    from bench_core.deploy.chosen import Wanted

    with reading(spec, store, trust_code) as source:
        failed = _predict(
            source,
            overrides,
            Wanted(model, dataset, fold, repeat),
            images,
            (out, overwrite, overlays),
            (device, batch_size),
            as_json,
        )
    if failed:
        raise click.exceptions.Exit(1)


def _predict(
    source: Source,
    overrides: tuple[str, ...],
    wanted: Wanted,
    images: tuple[Path, ...],
    output: tuple[Path, bool, bool],
    running: tuple[str, int | None],
    as_json: bool,
) -> list[Done]:
    from bench_core.cli.data_progress import showing
    from bench_core.deploy.chosen import choose, facts_of
    from bench_core.deploy.described import classes_of, model_of, preprocessing_of, scoring_of, versions
    from bench_core.deploy.inputs import find_inputs, loose_reader
    from bench_core.deploy.needs import check_packages
    from bench_core.deploy.placing import Outputs
    from bench_core.deploy.predict import output_names, predict_all
    from bench_core.execute.devices import choose_slots
    from bench_core.plan.load import load_plan

    (out, overwrite, overlays), (device, batch_size) = output, running
    loaded, plan = load_plan(source.spec, overrides)
    chosen = choose(plan, loaded.registry, source.store, wanted, source.command(overrides))
    job = chosen.job
    check_packages(job, loaded.registry)
    reader = loose_reader(job.dataset, loaded.registry)
    found = find_inputs(images, reader, out)
    outputs = Outputs(out, overwrite)
    names = []
    for given in found.images:
        try:
            names += output_names(given, reader.open(given.files), overlays)
        except (BenchError, OSError, ValueError):
            continue  # Told of in its turn.
    outputs.check(names, (path for given in found.images for path in given.files))
    place = choose_slots(device, 1, 1).devices[0]
    from bench_core.deploy.predictor import Predictor

    predictor = Predictor(chosen, place)
    for note in chosen.notes:
        say(f"note: {note}", err=True)
    if found.passed_over:
        say(f"note: {found.passed_over} files in folders are passed over: no images by their names", err=True)
    facts = {
        "study": loaded.spec.name,
        "model": model_of(job),
        "networks": facts_of(chosen, source.place),
        "folds": chosen.how,
        "dataset": job.dataset.label,
        "classes": classes_of(job),
        "preprocessing": preprocessing_of(job),
        "scoring": {**scoring_of(job), "at": "the image's original size, logits resized bilinearly"},
        "precision": job.training.precision,
        "device": place.partition(":")[0],
        "versions": versions(),
    }
    done: list[Done] = []
    failed: list[Done] = []
    with showing() as hear:
        each = predict_all(
            found.images,
            reader,
            predictor,
            outputs,
            facts,
            batch_size=predictor.batch_size(batch_size),
            overlays=overlays,
            heard=lambda number: hear("images", number, len(found.images)) if hear else None,
        )
        for item in each:
            (done if item.error is None else failed).append(item)
            if item.error is not None and not as_json:
                say(f"error: {_line(item.error)}", err=True)
    if as_json:
        print_json(
            {
                "out": str(out),
                "folds": chosen.how,
                "networks": facts["networks"],
                "predicted": [
                    {"input": [str(path) for path in item.given.files], "files": list(item.files)}
                    for item in done
                ],
                "failed": [
                    {
                        "input": [str(path) for path in item.given.files],
                        "error": item.error.message,
                        "cause": item.error.cause,
                        "fix": item.error.fix,
                    }
                    for item in failed
                    if item.error is not None
                ],
            }
        )
    else:
        say(f"{job.model.label}, trained on {job.dataset.label}: {chosen.how}")
        say(f"predicted {len(done)} of {len(found.images)} images; label maps are in {out}")
    return failed


def _line(error: BenchError) -> str:
    place = f"{visible_name(error.place)}: " if error.place else ""
    told = BenchError(error.message, cause=error.cause, fix=error.fix)
    return place + "; ".join(part.strip() for part in str(told).splitlines())
