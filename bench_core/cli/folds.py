"""`bench folds`: the folds of a spec as a file, and a file of folds held against the data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import SET, SPEC, STORE
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.data.arrays import CachedArrays
    from bench_core.data.opening import Source
    from bench_core.data.samples import Sample
    from bench_core.plan.job import Job

FORMATS = ("csv", "json", "nnunet")
DATASET = click.option("--dataset", metavar="LABEL", help="Needed where the spec has several datasets.")


@click.group()
def command() -> None:
    """Write the folds of a spec to a file, or check a file of folds against the data.

    Needs the data's files and no framework.
    """


@command.command()
@SPEC
@SET
@DATASET
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File; default: the screen.")
@click.option("--attribute", metavar="NAME", help="Folds by an attribute of the samples, such as part (csv).")
@STORE
def export(
    spec: Path,
    overrides: tuple[str, ...],
    dataset: str | None,
    form: str,
    out: Path | None,
    attribute: str | None,
    store: Path,
) -> None:
    """Write which sample lies in which fold.

    csv has lines `id,fold`, json the same with count and seed, nnunet is a splits_final.json whose split i
    holds the training, validation and test ids of fold i. Each can be given to a dataset as `folds: FILE`.
    Images are decoded, into the store's cache where there is one, since copies of each other stay together.
    With --attribute they are not: its values are the parts of a fixed split (`id,split`) if they are words
    for training, validation and test, else each value is a fold.
    """
    if attribute is not None:
        if form != "csv":
            raise click.UsageError("--attribute is written as csv only")
        _write(_by_attribute(*_opened(spec, overrides, dataset)[1:], attribute), out)
        return
    from bench_core.data.opening import deal
    from bench_core.fold_files import write_csv

    job, source, _ = _opened(spec, overrides, dataset)
    with _decoded(job, source, store) as arrays:
        ids = list(arrays.ids)
        folds = deal(source, arrays, job.fold.count, job.seed).tolist()
    if form == "csv":
        text = write_csv(ids, folds)
    elif form == "json":
        facts = {"dataset": job.dataset.label, "count": job.fold.count, "seed": job.seed}
        text = _json({**facts, "folds": dict(zip(ids, folds, strict=True))})
    else:
        text = _json(_splits(job, ids, folds))
    _write(text, out)


@command.command("import")
@SPEC
@click.argument("file", type=click.Path(path_type=Path))
@SET
@DATASET
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the folds there as CSV.")
@STORE
def import_(
    spec: Path, file: Path, overrides: tuple[str, ...], dataset: str | None, out: Path | None, store: Path
) -> None:
    """Check FILE against the data of SPEC: unknown and missing ids, groups in two folds, sizes.

    FILE is CSV (id,fold or id,split), JSON, or nnU-Net's splits_final.json. Says what to write in the spec.
    Images are decoded only where the spec leaves out copies, which FILE may leave out, too.
    Exit codes: 0 it fits, 1 invalid spec, 2 it does not fit.
    """
    import numpy as np

    from bench_core.data.folds import group_leaks, leak_error, match_folds
    from bench_core.fold_files import ROLE_NAMES, read_folds, write_csv

    given = read_folds(file)
    job, source, samples = _opened(spec, overrides, dataset)
    ids, groups_of = [sample.id for sample in samples], [sample.group for sample in samples]
    left_out: tuple[str, ...] = ()
    if job.dataset.duplicates == "drop":
        with _decoded(job, source, store) as arrays:
            ids, groups_of, left_out = list(arrays.ids), list(arrays.groups), arrays.left_out
    folds = match_folds(given, ids, str(file), left_out)
    leaks = group_leaks(ids, groups_of, folds)
    if leaks:
        raise leak_error(leaks, str(file))
    sizes = np.bincount(folds, minlength=given.count).tolist()
    groups = len(set(groups_of))
    named = [ROLE_NAMES[fold] if given.roles else f"fold {fold}" for fold in range(given.count)]
    click.echo(f"{file}: fits {job.dataset.label}: {len(ids)} images in {groups} groups")
    for name, size in zip(named, sizes, strict=True):
        click.echo(f"  {name}: {size} images")
    if out is not None:
        _write(write_csv(ids, folds.tolist(), roles=given.roles), out)
    click.echo(f"in the spec, beside the dataset's name:\n  folds: {out or file}")
    if not given.roles and given.count != job.fold.count:
        click.echo(f"and under protocol.evaluate:\n  folds: {given.count}")


@contextmanager
def _decoded(job: Job, source: Source, store: Path) -> Iterator[CachedArrays]:
    """Open the dataset through the cache that a run would use; where there is no store, for the moment."""
    from bench_core.cli.data import cache_folder
    from bench_core.data.opening import open_arrays
    from bench_core.execute.datasets import fit_of
    from bench_core.store.store import Store

    with TemporaryDirectory() as elsewhere:
        opened = Store(store)
        kept = cache_folder() or (opened.cache if opened.path.is_dir() else Path(elsewhere))
        yield open_arrays(source, fit_of(job), kept)


def _opened(
    spec: Path, overrides: tuple[str, ...], label: str | None
) -> tuple[Job, Source, Sequence[Sample]]:
    """Return a job on the dataset, the dataset as what can be opened, and its samples."""
    from bench_core.data.listing import list_samples
    from bench_core.data.opening import open_reader
    from bench_core.execute.datasets import source_of
    from bench_core.plan.load import load_plan

    loaded, plan = load_plan(spec, overrides)
    jobs: dict[str, Job] = {}
    for job in plan.jobs:
        if job.stage == "evaluate":
            jobs.setdefault(job.dataset.label, job)
    if label is None and len(jobs) > 1:
        raise click.UsageError(f"choose one of the datasets with --dataset: {', '.join(jobs)}")
    chosen = next(iter(jobs), "") if label is None else label
    if chosen not in jobs:
        raise BenchError(
            f"no dataset {chosen!r} in the spec", place=str(spec), fix=f"choose from {', '.join(jobs)}"
        )
    job = jobs[chosen]
    source = source_of(job.dataset, loaded.registry)
    return job, source, list_samples(open_reader(source), job.dataset.name)


def _by_attribute(source: Source, samples: Sequence[Sample], name: str) -> str:
    """Return CSV of folds that are the values of an attribute; raise BenchError where samples lack it."""
    from bench_core.fold_files import ROLES, write_csv

    values = {sample.id: sample.attributes.get(name) for sample in samples}
    lacking = [sample for sample, value in values.items() if value is None]
    if lacking:
        known = sorted({attribute for sample in samples for attribute in sample.attributes})
        raise BenchError(
            f"{len(lacking)} of {len(values)} samples of {source.label} have no attribute {name!r}, "
            f"such as {lacking[0]}",
            place=source.root or source.label,
            fix=f"choose from {', '.join(known)}" if known else "give the samples attributes",
        )
    words = {sample: str(value) for sample, value in values.items()}
    roles = {word.lower() for word in words.values()} <= ROLES.keys()
    number = {word: ROLES[word.lower()] for word in words.values()} if roles else {}
    number = number or {word: place for place, word in enumerate(sorted(set(words.values())))}
    return write_csv(list(words), [number[word] for word in words.values()], roles=roles)


def _splits(job: Job, ids: Sequence[str], folds: Sequence[int]) -> list[dict[str, list[str]]]:
    """Return nnU-Net's list of splits; under `rotate` each has a third list, which nnU-Net passes over."""
    rotate = job.fold.layout == "rotate"
    splits: list[dict[str, list[str]]] = []
    for index in range(job.fold.count):
        roles: dict[str, list[str]] = {"train": [], "val": [], **({"test": []} if rotate else {})}
        for sample, fold in zip(ids, folds, strict=True):
            tested = rotate and fold == (index + 1) % job.fold.count
            roles["val" if fold == index else ("test" if tested else "train")].append(sample)
        splits.append(roles)
    return splits


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BenchError(
            f"cannot be written: {getattr(error, 'strerror', None) or error}",
            place=str(out),
            fix="choose another --out",
        ) from error
    click.echo(f"wrote {out}", err=True)
