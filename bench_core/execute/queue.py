"""What a job needs beside its description to start: written when it is queued, read by its worker."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError

from bench_core.errors import BenchError, StoreError
from bench_core.execute.provenance import RunContext
from bench_core.files.hashes import sha256_of
from bench_core.files.paths import path_mistake
from bench_core.plan.job import Job
from bench_core.protocol.run_options import RunOptions
from bench_core.store.files import make_folder, read_json, remove_tree, write_json
from bench_core.store.folder import read_job, write_job
from bench_core.store.result import Failure
from bench_core.store.store import Store

FOLDER = "queue"
ORDER = "order.json"


@dataclass(frozen=True)
class Order:
    """How a queued job is to be run."""

    plugins: tuple[Path, ...] = ()
    """The spec's own plugin files."""
    context: RunContext = field(default_factory=RunContext)
    options: RunOptions = field(default_factory=RunOptions)
    """The device is chosen where it runs."""
    cache: Path | None = None
    retried: Failure | None = None
    """The failure that this try follows; a newer one counts as somebody else's work."""


def queue_job(store: Store, job: Job, order: Order) -> None:
    """Write all that a worker must know of a job, so that its digest and the store's path suffice.

    Raises DiskError if the store cannot be written to.
    """
    folder = _folder(store, job.digest)
    make_folder(folder)
    write_job(folder, job)
    write_json(folder / ORDER, order_to_json(order))


def queued(store: Store, digest: str) -> tuple[Job, Order]:
    """Return a queued job and its order; raise StoreError if it is not queued or the files are damaged."""
    folder = _folder(store, digest)
    path = folder / ORDER
    fix = f"rm -r {shlex.quote(str(folder))}, then `bench run` queues it again"
    job, data = read_job(folder), read_json(path, fix)
    try:
        if job.digest != digest:
            raise ValueError(f"the job is {job.digest}")
        return job, order_from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            "damaged file in the store", place=str(path), cause=fault_in(error), fix=fix
        ) from error


def forget(store: Store, digest: str) -> None:
    """Remove the order of a job that is done."""
    with suppress(StoreError):
        remove_tree(_folder(store, digest))


def tidy(store: Store) -> None:
    """Remove what is left of jobs that are done: their orders, and folders of owners who lost their claim."""
    store.tidy()
    root = store.path / FOLDER
    for path in root.iterdir() if root.is_dir() else ():
        if store.is_done(path.name):
            remove_tree(path)


def origin(path: Path) -> str:
    """Return what a result says of a plugin file: its content counts and not its place."""
    return f"{path.name}, sha256 {sha256_of(path)}"


def check_plugins(order: Order) -> None:
    """Raise BenchError where a plugin file is not here, or not the one with which the jobs were queued."""
    for path in order.plugins:
        try:
            same = origin(path) in order.context.plugins.values()
        except OSError as error:
            raise BenchError(
                "a plugin of the queued study cannot be read",
                place=str(path),
                cause=error.strerror,
                fix="make it readable under this path on every machine that works on the study",
            ) from error
        if not same:
            raise BenchError(
                "a plugin has changed since the study was queued",
                place=str(path),
                fix="queue the study again: `bench worker SPEC`",
            )


def _folder(store: Store, digest: str) -> Path:
    return store.path / FOLDER / digest


def order_to_json(order: Order) -> dict[str, Any]:
    """Return plain JSON data, from which `order_from_json` makes an equal order."""
    options = asdict(order.options)
    for here in ("device", "devices", "folder"):
        del options[here]
    return {
        "plugins": [str(path) for path in order.plugins],
        "context": asdict(order.context),
        "options": options,
        "cache": None if order.cache is None else str(order.cache),
        "retried": None if order.retried is None else order.retried.to_json(),
    }


def order_from_json(data: Mapping[str, Any]) -> Order:
    """Rebuild an order; raises KeyError, TypeError or ValueError where something does not fit.

    A file that was altered is believed nowhere: numbers are within the bounds of a spec, paths can be paths.
    """
    context, options = data["context"], data["options"]
    # pydantic skips fields that it does not know, as another version writes them.
    RunContext(**context)
    RunOptions(**options)
    plugins, cache, checked_context, checked_options = _parts().validate_python(
        (data["plugins"], data["cache"], context, options)
    )
    return Order(
        plugins=plugins,
        context=checked_context,
        options=checked_options,
        cache=cache,
        retried=None if data["retried"] is None else Failure.from_json(data["retried"]),
    )


def fault_in(error: Exception) -> str:
    """Return in one line what does not fit in a file that was read."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])):.120}: {first['msg']}"
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return f"it has no {text}" if isinstance(error, KeyError) else text


def _usable(path: Path) -> Path:
    mistake = path_mistake(path)
    if mistake is not None:
        raise ValueError(f"it is not a path: {mistake}")
    return path


_Usable = Annotated[Path, AfterValidator(_usable)]


@cache
def _parts() -> TypeAdapter[tuple[tuple[Path, ...], Path | None, RunContext, RunOptions]]:
    return TypeAdapter(tuple[tuple[_Usable, ...], _Usable | None, RunContext, RunOptions])
