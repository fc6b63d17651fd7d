"""What happens before the first job, whoever runs the jobs: selection, freshness, preflight and data."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import print_json_line, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.errors import StoreError
    from bench_core.execute.batch import Batch, Requirement
    from bench_core.execute.fresh import Freshness
    from bench_core.execute.queue import Order
    from bench_core.plan.expand import Plan
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry
    from bench_core.spec.checks import Context
    from bench_core.spec.load import LoadedSpec
    from bench_core.spec.nodes import Loc
    from bench_core.store.store import Store


@dataclass
class Selection:
    """The jobs that a command is about, and which of them are to do."""

    loaded: LoadedSpec
    plan: Plan
    jobs: tuple[Job, ...]
    """Selected, in the plan's order, done ones included."""
    todo: list[Job]
    store: Store
    """Made by `make_ready`, if something is to do."""
    found: Freshness
    spec: Path
    overrides: tuple[str, ...]
    as_json: bool

    @property
    def damaged(self) -> list[StoreError]:
        """Results that count as done and are damaged."""
        return list(self.found.damaged.values())


def select(
    spec: Path,
    overrides: Sequence[str],
    store: Path,
    *,
    only: Sequence[str] = (),
    more: Sequence[str] = (),
    runner: str | None = None,
    as_json: bool = False,
) -> Selection:
    """Load a spec and choose jobs of its plan, done or not; tells which results are stale.

    `more` are the values that follow the first of `only` on the command line. Raises BenchError where the
    spec is not valid, nothing fits, or a job would be built on a stale one that is not selected.
    """
    from bench_core.cli.fresh import ground_of
    from bench_core.execute.fresh import freshness
    from bench_core.execute.select import select_jobs
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    if more and not only:
        raise click.UsageError(f"unexpected {' '.join(more)!r}; to choose jobs write --only {' '.join(more)}")
    loaded, plan = load_plan(spec, tuple(overrides))
    jobs = select_jobs(plan.jobs, (*only, *more), runner)
    opened = Store(store)
    states = opened.states()
    found = freshness(_with_needed(jobs, plan), opened, ground_of(loaded.registry, opened))
    todo = [job for job in jobs if states.get(job.digest) != "done" or job.digest in found.stale]
    selection = Selection(loaded, plan, jobs, todo, opened, found, spec, tuple(overrides), as_json)
    if found.stale or found.unknown:
        _tell(selection)
    return selection


def make_ready(selection: Selection) -> None:
    """Make the store, fetch weights if asked, and refuse at once what cannot run; opens each dataset once.

    Stale results are moved aside, and the store keeps the spec. Raises BenchError with all reasons.
    """
    from bench_core.cli.data import cache_folder, open_datasets, warn
    from bench_core.cli.fresh import ground_of
    from bench_core.execute.fresh import freshness, set_aside
    from bench_core.execute.preflight import preflight
    from bench_core.store.store import Store

    loaded, plan, todo = selection.loaded, selection.plan, selection.todo
    if todo:
        if os.environ.get("SEGTRIAL_DOWNLOAD") == "1":
            _get_weights(todo, loaded.registry)
        preflight(todo, loaded.registry)
        _try_networks(selection)
        selection.store = opened = Store(selection.store.path, create=True)
        cache = cache_folder() or opened.cache
        warn(open_datasets(todo, loaded.registry, cache, plan.by_digest), as_json=selection.as_json)
        # Only opening the images tells which of them are copies, and with that what the samples are.
        ground = ground_of(loaded.registry, opened)
        again = freshness(_with_needed(selection.jobs, plan), opened, ground)
        if set(again.stale) - set(selection.found.stale):
            selection.found = again
            _tell(selection)
        set_aside(selection.jobs, opened, ground, selection.found)
    _keep(selection)


def order_of(loaded: LoadedSpec, threads: int, loaders: int) -> Order:
    """Return how the jobs of a spec are run, wherever that is; `loaders` are loader processes of each."""
    from bench_core.cli.data import cache_folder
    from bench_core.execute.provenance import RunContext
    from bench_core.execute.queue import Order, origin
    from bench_core.options import complete_options
    from bench_core.protocol.run_options import RunOptions

    runtime, registry = loaded.spec.runtime, loaded.registry
    text = json.dumps(loaded.spec.model_dump(mode="json"))
    return Order(
        plugins=tuple(Path(path) for path in registry.plugins.values() if Path(path).is_absolute()),
        context=RunContext(
            spec_name=loaded.spec.name,
            spec_sha256=hashlib.sha256(text.encode()).hexdigest(),
            command=again(),
            plugins={
                name: origin(Path(text)) if Path(text).is_absolute() else text
                for name, text in registry.plugins.items()
            },
        ),
        options=RunOptions(
            devices_per_job=runtime.devices_per_job,
            threads=threads,
            loader_workers=loaders,
            channels_last=runtime.channels_last,
            compile=runtime.compile,
            runners={
                name: complete_options(registry.runner(name).options, given)
                for name, given in runtime.runners.items()
            },
        ),
        cache=cache_folder(),
    )


def again() -> str:
    """Return the command line, to be repeated."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _tell(selection: Selection) -> None:
    from bench_core.cli.fresh import stale_events, tell

    jobs, found = selection.jobs, selection.found
    tell(jobs, found, selection.spec, selection.store.path, running=True)
    if selection.as_json:
        for event in stale_events(jobs, found):
            print_json_line(event)
    _refuse_mixing(jobs, selection.todo, found, selection.plan)


def _with_needed(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Return the jobs after those that they need, selected or not."""
    wanted = {job.digest for job in jobs} | {need.digest for job in jobs for need in job.needs}
    return [job for job in plan.jobs if job.digest in wanted]


def _refuse_mixing(jobs: Sequence[Job], todo: Sequence[Job], found: Freshness, plan: Plan) -> None:
    """Raise BenchError where a job would be built on one that is stale and not part of this run."""
    selected = {job.digest for job in jobs}
    for job in todo:
        for need in job.needs:
            if need.digest in found.stale and need.digest not in selected:
                needed = plan.by_digest[need.digest]
                changed = "; ".join(str(change) for change in found.stale[need.digest])
                raise BenchError(
                    f"{job.name} needs {needed.name}, which is stale and not part of this run",
                    cause=changed,
                    fix="run the same command without --only",
                )


def _keep(selection: Selection) -> None:
    """Keep in the store what is run in it; a store in which nothing is left to do may be a read-only one."""
    from bench_core.errors import StoreError
    from bench_core.export.kept import keep
    from bench_core.store.files import DiskError

    path = selection.store.path
    if not (path / "store.json").exists():
        return
    try:
        keep(selection.loaded, selection.plan, path, selection.spec, selection.overrides)
    except DiskError:
        if selection.todo:
            raise
    except StoreError as error:
        say(f"note: {error.message}: {error.cause}; `bench verify` has to be given the spec", err=True)


def _try_networks(selection: Selection) -> None:
    """Raise SpecError, at the entries of steps, for networks that these cannot work on."""
    from bench_core.execute.tried import try_networks
    from bench_core.spec.load import load_spec
    from bench_core.spec.rules.labels import label_of

    loaded = selection.loaded
    found = list(try_networks(selection.todo, loaded.registry))
    if not found:
        return

    labels = {label_of(entry): index for index, entry in enumerate(loaded.spec.steps)}

    def tell(context: Context) -> None:
        for (index, message), error in errors.items():
            loc: Loc = ("steps", index, "options" if loaded.spec.steps[index].options else "name")
            context.error("step", loc, message, cause=error.cause, fix=error.fix)

    errors = {(_entry_of(item.stage, labels), item.error.message): item.error for item in found}
    load_spec(selection.spec, selection.overrides, registry=loaded.registry, further=(tell,))
    raise found[0].error


def _entry_of(stage: str, labels: Mapping[str, int]) -> int:
    """Return the index of the step entry that a stage is of: its label, or the longest one that begins it."""
    known = [label for label in labels if stage == label or stage.startswith(f"{label}-")]
    return labels[max(known, key=len)]


def _get_weights(jobs: Iterable[Job], registry: Registry) -> None:
    """Download what is missing; what cannot be had is for the preflight to refuse."""
    from bench_core.cli.weights import get_files
    from bench_core.execute.weights import needs_of_jobs

    missing = [need for need in needs_of_jobs(jobs, registry) if need.place is None]
    get_files(missing, err=True)


def queue_selection(selection: Selection, threads: int | None = None) -> Batch:
    """Queue the selected jobs as one batch for workers anywhere, after `make_ready`; failed ones once more.

    Raises DiskError if the store cannot be written to.
    """
    from bench_core.execute.batch import Batch, queue_batch

    runtime, store = selection.loaded.spec.runtime, selection.store
    states = store.states()
    failures = {
        job.digest: store.failure(job.digest) for job in selection.jobs if states.get(job.digest) == "failed"
    }
    batch = Batch(
        name=selection.plan.name,
        jobs=selection.jobs,
        order=order_of(selection.loaded, threads or runtime.threads, 0),
        loaders=runtime.loader_workers,
        requirements=_requirements(selection),
        retried={digest: failure for digest, failure in failures.items() if failure is not None},
    )
    return queue_batch(store, batch)


def _requirements(selection: Selection) -> dict[str, Requirement]:
    """Return what the spec says that jobs need, by digest, where that is more than one device of any size."""
    from bench_core.execute.batch import Requirement
    from bench_core.execute.limits import size_in_bytes
    from bench_core.plan.job import Apply

    runtime = selection.loaded.spec.runtime
    sizes = {name: size_in_bytes(text, f"runtime.memory.{name}") for name, text in runtime.memory.items()}
    found = {}
    for job in selection.jobs:
        alone = isinstance(job.work, Apply)
        memory = sizes.get(job.model.label, sizes.get(job.model.name))
        asked = Requirement(memory, 1 if alone else runtime.devices_per_job)
        if asked != Requirement():
            found[job.digest] = asked
    return found
