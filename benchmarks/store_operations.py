"""How many operations of a file system each question to a store takes, counted on a real one."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from simulated_cluster import study

from bench_core.plan.job import Job
from bench_core.records import DataFacts
from bench_core.store.folder import write_result
from bench_core.store.manifest import write_manifest
from bench_core.store.result import Result
from bench_core.store.store import Store
from bench_core.store.taking import take_claim

_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime", "os.listdir", "os.scandir"}
_count = [0]
_listening = [False]


def per_question() -> dict[str, int]:
    """Return the operations of each question, and of a job's claim, folder, seal and release.

    Calls of Python are counted that open, make, rename, remove or list something or ask for its state. What
    a job itself writes while it runs is not: it does not depend on how many workers there are.
    """
    job = study(1)[0]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store", create=True)
        found = {"survey": _operations(store.survey), "look: todo": _look(store, job)}
        claims: list[Any] = []
        found["claim"] = _operations(lambda: claims.append(take_claim(store.claims, job.digest)))
        (claim,) = claims
        found["look: running"] = _look(store, job)
        found["folder"] = _operations(lambda: store.prepare(job, claim))
        write_result(store.prepare(job, claim), Result(job.digest, DataFacts("", "", 3, 3, 1, 1, 1)))
        write_manifest(store.prepare(job, claim), ["job.json", "result.json"])
        found["seal"] = _operations(lambda: store.seal(job.digest, claim))
        found["release"] = _operations(claim.release)
        found["look: done"] = _look(store, job)
        found["reading"] = _operations(lambda: store.result(job.digest))
    return found


def _look(store: Store, job: Job) -> int:
    return _operations(lambda: store.state(job.digest))


def _operations(question: Callable[[], object]) -> int:
    with _counted() as count:
        question()
        return count[0]


@contextmanager
def _counted() -> Iterator[list[int]]:
    _count[0] = 0

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            _count[0] += 1
            return real(*arguments, **named)

        return call

    _listening[0] = True
    try:
        with mock.patch("os.stat", counting(os.stat)), mock.patch("os.lstat", counting(os.lstat)):
            yield _count
    finally:
        _listening[0] = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening[0] and event in _EVENTS:
        _count[0] += 1


sys.addaudithook(_hear)
