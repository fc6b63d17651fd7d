"""A batch: all jobs of a study in one file, so that a worker learns of 100,000 jobs by reading once.

`queue/batches/ID.jsonl` holds a header with the order that all jobs share, then the parts that many jobs
share (models, datasets, settings), then one line per job, and last what may differ between two equal batches:
the command, and the failures that are to be tried again. ID is a hash over all lines but the last: whoever
names a batch by its ID has named its code, too, and queuing the same jobs twice makes one batch.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench_core.errors import StoreError
from bench_core.execute.batch_lines import MOST_JOBS, Reader, lines_of
from bench_core.execute.queue import FOLDER, Order, fault_in, order_from_json, order_to_json
from bench_core.files.bounded import open_regular, parse_json
from bench_core.plan.job import Job
from bench_core.store.files import make_folder, replacing, storing
from bench_core.store.result import Failure
from bench_core.store.states import unreadable
from bench_core.store.store import Store

BATCHES = "batches"
BATCH_FORMAT = 1
ENDED = ".done"
"""Ending of an empty file that stands for a batch whose jobs are all done."""
MOST_LINE_BYTES = 16 * 2**20
MOST_BYTES = 2 * 2**30
_ID = re.compile(r"[0-9a-f]{32}")
Loaders = int | Literal["auto"]


@dataclass(frozen=True)
class Requirement:
    """What a job asks of the machine that runs it."""

    memory: int | None = None
    """Bytes of the device, or of main memory on a CPU; None: not known, any worker may try."""
    devices: int = 1


@dataclass(frozen=True)
class Batch:
    """Jobs that workers pull, and how they are run."""

    name: str
    """Of the study."""
    jobs: tuple[Job, ...]
    """In the plan's order, done ones included, so that what others need is known."""
    order: Order
    loaders: Loaders = 0
    """Loader processes of a job; auto: as many as fit the worker's machine."""
    requirements: Mapping[str, Requirement] = field(default_factory=dict)
    """By digest, where a job asks for more than one device of any size."""
    retried: Mapping[str, Failure] = field(default_factory=dict)
    """Failures from before the batch, whose jobs are tried again."""
    id: str = ""
    """Set by `queue_batch` and `read_batch`."""

    def requirement(self, digest: str) -> Requirement:
        """Return what a job asks for."""
        return self.requirements.get(digest, Requirement())


def queue_batch(store: Store, batch: Batch) -> Batch:
    """Write a batch and return it with its ID; an equal one that is there is replaced.

    One file is written, however many jobs there are. Raises DiskError if the store cannot be written to.
    """
    if len(batch.jobs) > MOST_JOBS:
        raise StoreError(f"a batch holds at most {MOST_JOBS} jobs", fix="choose fewer with --only")
    folder = batches(store)
    make_folder(folder)
    order = order_to_json(batch.order)
    command = order["context"].pop("command")
    head = {
        "format": BATCH_FORMAT,
        "name": batch.name,
        "jobs": len(batch.jobs),
        "order": order,
        "loaders": batch.loaders,
    }
    lines = lines_of(head, batch.jobs, batch.requirements)
    hashed = hashlib.sha256(b"".join(lines)).hexdigest()[:32]
    failures = {digest: failure.to_json() for digest, failure in batch.retried.items()}
    with suppress(FileNotFoundError):
        (folder / f"{hashed}{ENDED}").unlink()
    with replacing(folder / f"{hashed}.jsonl") as file:
        file.writelines(lines)
        file.writelines(lines_of({"command": command, "retried": failures}))
    return replace(batch, id=hashed)


def read_batch(store: Store, name: str) -> Batch:
    """Read a batch by its ID; raises StoreError where it is not there, damaged or of another format."""
    if not _ID.fullmatch(name):
        raise StoreError(f"{name!r} is not the ID of a batch", fix="an ID is 32 digits from 0 to f")
    path = batches(store) / f"{name}.jsonl"
    fix = f"rm {shlex.quote(str(path))}, then queue the study again, as `bench worker SPEC` does"
    try:
        with open_regular(path) as file:
            return replace(_batch(_lines(file), name, str(path)), id=name)
    except FileNotFoundError as error:
        known = ", ".join(batch_ids(store)) or "none"
        raise StoreError(
            f"the store has no batch {name}",
            place=str(store.path),
            cause=f"there are: {known}; one whose jobs are all done is removed",
            fix="queue the study again, as `bench worker SPEC` does",
        ) from error
    except StoreError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise StoreError(
            "damaged file in the store", place=str(path), cause=fault_in(error), fix=fix
        ) from error


def batch_ids(store: Store) -> list[str]:
    """Return the IDs of all batches in a store, sorted; raises StoreError where that cannot be known."""
    try:
        names = [path.stem for path in batches(store).iterdir() if path.suffix == ".jsonl"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(batches(store), error) from error
    return sorted(name for name in names if _ID.fullmatch(name))


def remove_batch(store: Store, name: str) -> None:
    """Remove a batch whose jobs are all done, and leave word of that for workers that start late.

    Raises DiskError if the store cannot be written to.
    """
    folder = batches(store)
    with storing(folder):
        (folder / f"{name}{ENDED}").touch()
        (folder / f"{name}.jsonl").unlink(missing_ok=True)


def has_ended(store: Store, name: str) -> bool:
    """Say whether a batch is gone because all its jobs were done."""
    return _ID.fullmatch(name) is not None and (batches(store) / f"{name}{ENDED}").exists()


def batches(store: Store) -> Path:
    """Return the folder of a store's batches."""
    return store.path / FOLDER / BATCHES


def _lines(file: Any) -> Iterator[bytes]:
    total = 0
    while line := file.readline(MOST_LINE_BYTES + 1):
        total += len(line)
        if len(line) > MOST_LINE_BYTES or total > MOST_BYTES:
            raise ValueError("the file is larger than a batch can be")
        if not line.endswith(b"\n"):
            raise ValueError("the file ends within a line")
        yield line


def _batch(lines: Iterator[bytes], name: str, place: str) -> Batch:
    hashed = hashlib.sha256()
    first = next(lines, b"")
    head = parse_json(first)
    if head["format"] != BATCH_FORMAT:
        raise StoreError(
            "a batch of another version of segtrial",
            place=place,
            cause=f"it has format {head['format']!r:.40}, this segtrial reads format {BATCH_FORMAT}",
            fix="use one version on all machines of a store, or queue the study again: `bench worker SPEC`",
        )
    count = head["jobs"]
    if not isinstance(count, int) or not 0 <= count <= MOST_JOBS:
        raise ValueError("it claims an impossible number of jobs")
    hashed.update(first)
    reader = Reader(count)
    for line in lines:
        if reader.complete:
            return _whole(head, reader, parse_json(line), hashed.hexdigest()[:32] == name, lines)
        hashed.update(line)
        reader.take(parse_json(line))
    raise ValueError(f"it stops before its end, at {len(reader.jobs)} of {count} jobs")


def _whole(head: Mapping[str, Any], reader: Reader, last: Any, equal: bool, rest: Iterator[bytes]) -> Batch:
    if not equal:
        raise ValueError("its content is not the one that its name stands for")
    if next(rest, None) is not None:
        raise ValueError("something follows its last line")
    loaders = head["loaders"]
    if loaders != "auto" and not (isinstance(loaders, int) and 0 <= loaders < 2**16):
        raise ValueError("loaders is neither auto nor a number")
    order = order_from_json(
        {**head["order"], "context": {**head["order"]["context"], "command": str(last["command"])}}
    )
    return Batch(
        name=str(head["name"]),
        jobs=_unique(reader.jobs),
        order=order,
        loaders=loaders,
        requirements={
            digest: Requirement(memory, devices) for digest, (memory, devices) in reader.requirements.items()
        },
        retried={str(digest): Failure.from_json(failure) for digest, failure in last["retried"].items()},
    )


def _unique(jobs: Sequence[Job]) -> tuple[Job, ...]:
    if len({job.digest for job in jobs}) != len(jobs):
        raise ValueError("it holds a job twice")
    return tuple(jobs)
