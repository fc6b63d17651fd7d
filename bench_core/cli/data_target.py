"""What `bench data` looks at: the datasets of a spec, or one dataset by its name and root."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.errors import BenchError, DataError, UnknownNameError

if TYPE_CHECKING:
    from bench_core.data.check import Prepared
    from bench_core.data.opening import Source
    from bench_core.declarations import Dataset
    from bench_core.samples import Samples
    from bench_core.spec.training import Pixels
    from bench_core.store.store import Store

SIZE = 256
"""Pixels of the side to which a dataset is brought that no spec gives a size."""


def open_target(
    target: str,
    overrides: Sequence[str],
    only: Sequence[str],
    root: Path | None,
    options: Sequence[str],
    allow_missing: bool,
    store: Path,
) -> list[Prepared]:
    """Open the datasets of a spec through the store's cache, or one by its name through a passing cache.

    Raises DataError with the problems of all datasets, and what loading a spec raises.
    """
    path = Path(target)
    if is_spec(path):
        if root is not None or options:
            raise click.UsageError("a spec says roots and options itself; change them with --set")
        return _of_spec(path, overrides, only, allow_missing, store)
    if overrides or only:
        raise click.UsageError("--set and --only are about a spec; a dataset takes --root and --option")
    return _of_name(target, root, options, allow_missing)


def is_spec(path: Path) -> bool:
    """Say whether what stands on the command line is a spec's path, and not a dataset's name."""
    return path.suffix in (".yaml", ".yml") or path.is_file()


def _of_spec(
    spec: Path, overrides: Sequence[str], only: Sequence[str], allow_missing: bool, store: Path
) -> list[Prepared]:
    from bench_core.cli.data import cache_folder, open_datasets
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    loaded, plan = load_plan(spec, overrides)
    if allow_missing:
        declared = [loaded.registry.dataset(entry.name) for entry in loaded.spec.datasets]
        more = [
            f"datasets.{number}.options.allow_missing=true"
            for number, dataset in enumerate(declared)
            if "allow_missing" in dataset.options
        ]
        more += [
            f"steps.{number}.dataset.options.allow_missing=true"
            for number, step in enumerate(loaded.spec.steps)
            if step.dataset and "allow_missing" in loaded.registry.dataset(step.dataset.name).options
        ]
        loaded, plan = load_plan(spec, [*overrides, *more])
    labels = dict.fromkeys((*plan.datasets, *(job.dataset.label for job in plan.jobs)))
    unknown = sorted(set(only) - set(labels))
    if unknown:
        raise BenchError(
            f"no dataset {unknown[0]!r} in the spec",
            place=str(spec),
            fix=f"choose from {', '.join(labels)}",
        )
    jobs = [job for job in plan.jobs if not only or job.dataset.label in only]
    opened = Store(store)
    cache = cache_folder() or Store(store, create=True).cache
    ready = open_datasets(jobs, loaded.registry, cache, plan.by_digest)
    if opened.path.is_dir():
        pixels = jobs[0].pixels if jobs else None
        for item in ready:
            opened.keep_samples(item.samples if pixels is None else _described(opened, item, pixels))
    return ready


def _described(store: Store, item: Prepared, pixels: Pixels) -> Samples:
    """Return what the store is to keep of a dataset, the automatic attributes of all its images included."""
    from contextlib import suppress
    from dataclasses import replace

    from bench_core.data.automatic import with_automatic
    from bench_core.errors import StoreError

    samples = item.samples
    with suppress(StoreError):
        held = store.samples(samples.fingerprint)
        samples = replace(samples, automatic=held.automatic if held.ids == samples.ids else {})
    every = range(len(samples.ids))
    return with_automatic(samples, item.arrays, every, pixels.resize, pixels.padding)


def _of_name(name: str, root: Path | None, given: Sequence[str], allow_missing: bool) -> list[Prepared]:
    from bench_core.cli.data import cache_folder
    from bench_core.cli.data_progress import showing
    from bench_core.data.check import Wanted, prepare
    from bench_core.data.resize import Fit
    from bench_core.plugins.wiring import load_registry

    declared = load_registry().dataset(name)
    source = _source(declared, root, given, allow_missing)
    wanted = [Wanted(source, Fit(SIZE, "pad-square"))]
    with tempfile.TemporaryDirectory(prefix="segtrial-data-") as passing, showing() as progress:
        ready = prepare(wanted, cache_folder() or Path(passing), progress)
        if cache_folder() is None:
            ready = [_in_memory(item) for item in ready]
    return ready


def _source(declared: Dataset, root: Path | None, given: Sequence[str], allow_missing: bool) -> Source:
    from bench_core.data.opening import Source
    from bench_core.options import complete_options

    options = dict(map(_option, given))
    if allow_missing and "allow_missing" in declared.options:
        options["allow_missing"] = True
    try:
        complete = complete_options(declared.options, options)
        task = declared.task_for(complete)
    except ValueError as error:
        raise UnknownNameError(f"{declared.name} cannot take these options", cause=str(error)) from error
    if declared.needs_root and root is None:
        raise DataError(f"dataset {declared.name} reads files", fix="say where they are with --root FOLDER")
    return Source(
        label=declared.name,
        declared=declared,
        task=task,
        root=None if root is None else str(root.resolve()),
        options=complete,
    )


def _option(text: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    try:
        parsed = yaml.safe_load(value) if equals else None
    except yaml.YAMLError as error:
        raise click.UsageError(f"--option {text!r} is not YAML: {error}") from error
    if not equals or not name:
        raise click.UsageError(f"--option {text!r}: write NAME=VALUE")
    return name, parsed


def _in_memory(item: Prepared) -> Prepared:
    """Return the dataset without the files of its cache, which are about to go."""
    from dataclasses import replace

    import numpy as np

    arrays = replace(
        item.arrays, images=np.array(item.arrays.images), masks=np.array(item.arrays.masks), path=None
    )
    return replace(item, arrays=arrays)
