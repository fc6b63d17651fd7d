"""Stops the owner of a job at seeded moments, lets another take the job over, and wakes the first one up.

A process of its own for test_fences: it forks both owners. The first stops itself at the n-th write, before
or after its effect; the second comes as if from another machine, to which the first is dead. The first wakes
up at a seeded moment of the second's work, or after it.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import torch

from bench_core.processes import liveness
from bench_core.store import sightings
from bench_core.store.claim import ClaimLostError
from bench_core.store.store import Store
from tests.helpers import kill_driver
from tests.helpers.signal_driver import prepare, subject
from tests.helpers.small_study import run


def arm(at: int, act: Any) -> None:
    """Call `act` at the `at`-th write of this process."""
    count = [0]

    def point() -> None:
        count[0] += 1
        if count[0] == at:
            act()

    def around(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            point()
            result = original(*arguments, **options)
            point()
            return result

        return call

    for name in kill_driver.WRITES:
        setattr(os, name, around(getattr(os, name)))


def owner(folder: Path, at: int, act: Any) -> int:
    """Fork a process that runs the job and calls `act` at a write; return its id."""
    child = os.fork()
    if child == 0:
        loaded, job = subject()
        if at:
            arm(at, act)
        code = 0
        try:
            run(job, Store(folder / "store", create=True), loaded.registry)
        except ClaimLostError:
            code = 0
        except BaseException:
            import traceback

            (folder / f"error-{os.getpid()}.txt").write_text(traceback.format_exc())
            code = 1
        os._exit(code)
    return child


def from_elsewhere() -> None:
    """Let this process take every other owner for one of another machine, silent for long."""
    identity = liveness.machine_identity() + " elsewhere"
    liveness.machine_identity = lambda: identity  # type: ignore[assignment]
    sightings.Sightings.silence = lambda self, owner: math.inf  # type: ignore[method-assign]


def scene(folder: Path, random: Random) -> dict[str, Any]:
    """Play it once and return what is left."""
    folder.mkdir(parents=True)
    first = owner(folder, random.randint(1, 110), lambda: os.kill(os.getpid(), signal.SIGSTOP))
    _, status = os.waitpid(first, os.WUNTRACED)
    paused = os.WIFSTOPPED(status)
    wake_at = random.choice([0, random.randint(1, 60)]) if paused else 0
    second = os.fork()
    if second == 0:
        from_elsewhere()
        third = owner(folder, wake_at, lambda: wake(first))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(third, 0)[1]))
    _, status = os.waitpid(second, 0)
    codes = [os.waitstatus_to_exitcode(status)]
    if paused:
        os.kill(first, signal.SIGCONT)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
    store, job = Store(folder / "store", create=True), subject()[1]
    done = store.is_done(job.digest)
    return {
        "paused": paused,
        "codes": codes,
        "done": done,
        "failed": [path.name for path in store.failed.iterdir()],
        "running": [path.name for path in store.running.iterdir()],
        "print": kill_driver.fingerprint(folder, job) if done else None,
        "errors": [path.read_text()[-1500:] for path in folder.glob("error-*.txt")],
    }


def wake(first: int) -> None:
    """Wake the first owner and give it time to do its worst."""
    os.kill(first, signal.SIGCONT)
    end = 40
    while end and Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        end -= 1
        signal.sigtimedwait([], 0.02)


def main(folder: Path, seeds: list[int]) -> None:
    loaded, job = subject()
    run(job, Store(folder / "clean" / "store", create=True), loaded.registry)
    expected = kill_driver.fingerprint(folder / "clean", job)
    found = {}
    for seed in seeds:
        found[seed] = scene(folder / f"scene-{seed}", Random(seed))
        found[seed]["equal"] = found[seed].pop("print") == expected
        shutil.rmtree(folder / f"scene-{seed}")
    print(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    base = Path(sys.argv[1])
    prepare(base, epochs=4)
    main(base, [int(text) for text in sys.argv[2].split(",")])
