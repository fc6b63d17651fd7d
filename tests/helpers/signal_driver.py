"""Sends a signal at seeded moments of whole runs, main process and workers, each in processes of its own.

A process of its own for test_signals: it loads the framework once and forks every run from there. A seed
sends one signal either to the main process after a fraction of the run's time, or at the n-th write of the
worker (before or after its effect, within torch.save too) to both, as a batch system does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from bench_core.execute.happening import Happening
from bench_core.execute.keeper import _HashingWriter
from bench_core.execute.local import LocalExecutor
from bench_core.execute.progress import RunProgress
from bench_core.execute.queue import Order
from bench_core.execute.run import InterruptedRunError, run_jobs
from bench_core.plan.job import Job
from bench_core.protocol.run_options import RunOptions
from bench_core.spec.load import LoadedSpec
from bench_core.store.store import Store
from tests.helpers import kill_driver
from tests.helpers.small_study import load, run

EPOCHS = 5
PATIENCE = 60.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Shot:
    """One signal: after so many seconds to the main process, or at this write of the worker to both."""

    number: int
    write: int = 0
    seconds: float = 0.0
    worker: bool = False
    """After `seconds` not to the main process but to its worker."""


_SUBJECT: list[tuple[LoadedSpec, Job]] = []


def subject() -> tuple[LoadedSpec, Job]:
    """Return what is run in this process's children."""
    return _SUBJECT[0]


def prepare(folder: Path, **settings: object) -> None:
    """Load the framework and a study of one job to run; adopt the processes that its runs leave behind."""
    torch.set_num_threads(1)
    adopt_orphans()
    loaded, plan = load(folder / "spec", **settings)
    _SUBJECT[:] = [(loaded, plan.jobs[0])]
    # Imports in every child would be slower than the jobs themselves.
    warm, (other, *_) = load(folder / "other", epochs=1)[0], load(folder / "other", epochs=1)[1].jobs
    run(other, Store(folder / "warm", create=True), warm.registry)


def arm(shot: Shot, main: int) -> list[int]:
    """Count the writes of worker processes, and shoot at the one that is meant."""
    count = [0]

    def point() -> None:
        if os.getpid() == main or not count_here():
            return
        count[0] += 1
        if count[0] == shot.write:
            os.kill(main, shot.number)
            os.kill(os.getpid(), shot.number)

    def count_here() -> bool:
        return os.getppid() == main  # Not the guard, not a loader.

    def around(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            point()
            result = original(*arguments, **options)
            point()
            return result

        return call

    for name in kill_driver.WRITES:
        setattr(os, name, around(getattr(os, name)))
    _HashingWriter.write = around(_HashingWriter.write)  # type: ignore[method-assign]
    return count


def attempt(folder: Path, shot: Shot | None, options: RunOptions | None = None) -> tuple[int, int]:
    """Run the job in a child process; return its exit code and how many epochs it heard of."""
    heard = folder / "heard.txt"
    heard.parent.mkdir(parents=True, exist_ok=True)
    heard.write_text("")
    child = os.fork()
    if child == 0:
        os.setsid()
        if shot is not None and shot.write:
            arm(shot, os.getpid())
        os._exit(_main(folder, heard, options or RunOptions()))
    if shot is not None and shot.seconds:
        time.sleep(shot.seconds)
        with suppress(ProcessLookupError):
            os.kill(_worker_of(child) if shot.worker else child, shot.number)
    code = _wait(child)
    return code, len(heard.read_text().splitlines())


def _main(folder: Path, heard: Path, options: RunOptions) -> int:
    def watch(progress: RunProgress, happening: Happening | None) -> None:
        if happening is not None and happening.kind == "epoch":
            with heard.open("a") as file:
                file.write("epoch\n")

    loaded, job = subject()
    store = Store(folder / "store", create=True)
    plugins = tuple(Path(path) for path in loaded.registry.plugins.values() if Path(path).is_absolute())
    executor = LocalExecutor(store.path, ["cpu"], start_method="fork")
    # As `bench` does before it runs anything.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        progress = run_jobs([job], store, Order(plugins=plugins, options=options), executor, watch)
    except (InterruptedRunError, KeyboardInterrupt):
        return INTERRUPTED
    return int(progress[job.digest].status != "done")


def _worker_of(main: int) -> int:
    """Return the worker process, or the main process while there is none."""
    return next(iter(_children(main)), main)


def _children(parent: int) -> list[int]:
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [number for number in numbers if _parent(number) == parent]


def _wait(child: int) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 99  # It hung.


def strays() -> list[int]:
    """Return processes that a run has left behind; orphans come to this process as their new parent."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return []
    return _children(os.getpid())


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def adopt_orphans() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def main(base: Path, numbers: Sequence[int], seeds: Sequence[int]) -> None:
    """Print as JSON what the undisturbed run leaves, and for each signal and seed what was found."""
    clean = base / "clean"
    started = time.perf_counter()
    code, _ = attempt(clean, None)
    seconds = time.perf_counter() - started
    assert code == 0, code
    expected = kill_driver.fingerprint(clean, subject()[1])
    outcomes = []
    for number in numbers:
        for seed in seeds:
            random, folder = Random(f"{number} {seed}"), base / f"shot-{number}-{seed}"
            shot = (
                Shot(number, write=random.randint(1, 150))
                if seed % 2
                else Shot(number, seconds=random.uniform(0.05, 0.95) * seconds)
            )
            begun = time.perf_counter()
            code, epochs = attempt(folder, shot)
            store = Store(folder / "store", create=True)
            found: dict[str, Any] = {
                "signal": number, "seed": seed, "code": code, "epochs": epochs, "strays": strays(),
                "seconds": time.perf_counter() - begun,
                "claims": [path.name for path in store.claims.iterdir()],
                "failed": [path.name for path in store.failed.iterdir()],
                "unfinished": [path.name for path in store.running.rglob(".*.tmp")],
            }  # fmt: skip
            again, more = attempt(folder, None)
            found |= {"again": again, "more": more, "strays": found["strays"] + strays()}
            found["equal"] = kill_driver.fingerprint(folder, subject()[1]) == expected
            outcomes.append(found)
            shutil.rmtree(folder)
    print(json.dumps({"epochs": EPOCHS, "outcomes": outcomes}))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    prepare(target, epochs=EPOCHS)
    main(
        target, [int(text) for text in sys.argv[2].split(",")], [int(text) for text in sys.argv[3].split(",")]
    )
