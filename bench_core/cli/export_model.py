"""`bench export model`: finished networks as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, NamesType, PathType, console, print_json, say
from bench_core.cli.predict import DATASET, MODEL, REPEAT
from bench_core.cli.reading import STORE_OR_ARCHIVE, TRUST, reading

if TYPE_CHECKING:
    from bench_core.deploy.export import Exported

NAMES = ("state-dict", "torchscript", "torch-export", "onnx")


@click.command()
@SPEC
@SET
@STORE_OR_ARCHIVE
@MODEL
@DATASET
@click.option(
    "--fold",
    default="best",
    show_default=True,
    metavar="best|all|N",
    help="best: on its own validation images; all: each into a folder of its own; or the number of one.",
)
@REPEAT
@click.option("--out", required=True, type=PathType(file_okay=False), help="A new or empty folder.")
@click.option(
    "--format",
    "formats",
    default=None,
    type=NamesType(NAMES),
    metavar="NAME,...",
    help=f"What to write: {', '.join(NAMES)}; onnx needs the extra `onnx`.  [default: all that can be]",
)
@TRUST
@JSON
def command(
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    model: str,
    dataset: str | None,
    fold: str,
    repeat: int,
    out: Path,
    formats: tuple[str, ...] | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Write the network of a model of SPEC as files that PyTorch or ONNX programs load.

    Each file is read back and compared with the network on test images before it is kept; README.md,
    model.json and predict.py beside it say what it takes and gives. Nothing is overwritten. Exit codes: 0
    written, 1 invalid spec, or the network cannot be written in a format, 2 could not run.
    """
    from bench_core.deploy.chosen import Wanted, choose
    from bench_core.deploy.needs import check_modules, check_packages
    from bench_core.export.write import new_folder
    from bench_core.plan.load import load_plan

    if formats is not None and "onnx" in formats:
        check_modules("the format onnx", ("onnx", "onnxscript"), "onnx")
    done: list[Exported] = []
    with reading(spec, store, trust_code) as source:
        loaded, plan = load_plan(source.spec, overrides)
        wanted = Wanted(model, dataset, fold, repeat)
        chosen = choose(plan, loaded.registry, source.store, wanted, source.command(overrides))
        check_packages(chosen.job, loaded.registry, images=False)
        for note in chosen.notes:
            say(f"note: {note}", err=True)
        wanted_formats, screen = formats or _at_hand(), console(stderr=True)
        with new_folder(out):
            from bench_core.deploy.export import export_network

            for member in chosen.members:
                folder = out / f"fold-{member.job.fold.index}" if fold == "all" else out
                folder.mkdir(parents=True, exist_ok=True)
                with screen.status("") as status:
                    done.append(export_network(chosen, member, wanted_formats, folder, status.update))
    _tell(done, chosen.how, as_json)
    if any(item.failed for item in done):
        raise click.exceptions.Exit(1)


def _at_hand() -> tuple[str, ...]:
    from bench_core.deploy.needs import check_modules
    from bench_core.errors import MissingDependencyError

    try:
        check_modules("the format onnx", ("onnx", "onnxscript"), "onnx")
    except MissingDependencyError as error:
        say(f"note: onnx is left out: {error.message} ({error.fix})", err=True)
        return tuple(name for name in NAMES if name != "onnx")
    return NAMES


def _tell(done: list[Exported], how: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "chosen": how,
                "networks": [
                    {
                        "fold": item.fold,
                        "folder": str(item.folder),
                        "formats": {
                            name: {
                                "batch": parity.batch,
                                "equal_pixels": parity.equal_pixels,
                                "max_abs_difference": parity.max_abs_difference,
                                "by": parity.by,
                            }
                            for name, parity in item.parities.items()
                        },
                        "failed": item.failed,
                    }
                    for item in done
                ],
            }
        )
        return
    say(how)
    for item in done:
        for name, parity in item.parities.items():
            say(
                f"  {item.folder}: {name}, {parity.equal_pixels:.4%} of the pixels of {parity.images} images "
                f"get the same label, logits differ by {parity.max_abs_difference:.2g} at most ({parity.by})"
            )
        for name, reason in item.failed.items():
            say(f"error: {item.folder}: not written as {name}: {reason}", err=True)
