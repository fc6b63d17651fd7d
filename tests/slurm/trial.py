"""One study on an emulated cluster, from its preparation to the comparison with an undisturbed run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench_core.store.store import Store
from tests.helpers.bench import BENCH
from tests.slurm.cluster import Cluster, ClusterError
from tests.slurm.study import contents

PATIENCE_SECONDS = 150.0


def run_undisturbed(spec: Path, store: Path) -> dict[str, dict[str, str]]:
    """Run a study on this machine alone and return its contents."""
    done = subprocess.run(
        [*BENCH, "run", spec, "--store", store, "--device", "cpu", "--workers", "2", "--oversubscribe"],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ClusterError(f"the undisturbed run ended with {done.returncode}: {done.stderr[-2000:]}")
    return contents(store)


@dataclass
class Trial:
    """A study whose workers run on a cluster."""

    cluster: Cluster
    spec: Path
    store: Path
    epochs: int
    """Of each job."""
    workers: int = 4
    settings: tuple[str, ...] = ()
    """Values of the spec for `--set`."""
    variables: dict[str, str] = field(default_factory=dict)
    """Of the front end's environment; those that begin with SEGTRIAL_ reach the workers."""
    front: subprocess.Popen[bytes] | None = None
    outputs: int = 0

    def start(self) -> None:
        """Start the front end, `bench run --executor slurm`, or start it again: it joins what is there."""
        sets = [word for text in self.settings for word in ("--set", text)]
        self.outputs += 1
        with self._output().open("wb") as output:
            self.front = subprocess.Popen(
                [
                    *(*BENCH, "run", self.spec, "--store", self.store, "--executor", "slurm"),
                    *("--workers", str(self.workers), "--device", "cpu", *sets),
                ],
                env={**self.cluster.environment, **self.variables},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill_front(self) -> None:
        """Kill the front end with all that it has started."""
        assert self.front is not None and self.front.pid
        os.killpg(self.front.pid, signal.SIGKILL)
        self.front.wait()

    def done(self) -> int:
        """Return how many jobs are done."""
        with suppress(OSError):
            return sum(
                1 for path in (self.store / "jobs").iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)
            )
        return 0

    def at_work(self) -> dict[str, int]:
        """Return the jobs at work with the number of whole epochs that each has kept."""
        from bench_core.store.running import digest_of, epochs_kept

        found = {}
        with suppress(OSError):
            for path in (self.store / "running").iterdir():
                digest = digest_of(path.name)
                if digest is not None:
                    found[digest] = epochs_kept(path)
        return found

    def until(
        self, true: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS, interval: float = 0.1
    ) -> None:
        """Wait for something; raises ClusterError with what the front end and the workers said."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise ClusterError(f"waited {seconds:g} s for {what}\n{self.said()}")
            time.sleep(interval)

    def finish(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the front end, so long at most, and return its exit code; raises ClusterError."""
        assert self.front is not None
        front = self.front
        self.until(lambda: front.poll() is not None, "the front end to end", seconds)
        return front.returncode

    def end(self) -> None:
        """Leave nothing in the queue."""
        if self.front is not None and self.front.poll() is None:
            self.kill_front()
        for job in {name.split("_")[0] for name in self.cluster.jobs()}:
            self.cluster.call("scancel", "--full", "--signal=KILL", job, check=False)
            self.cluster.call("scancel", job, check=False)
        self.cluster.wait(lambda: not self.cluster.jobs(), "the queue to be empty")

    def elements(self) -> list[str]:
        """Return the elements of the array that run."""
        return [name for name, state in self.cluster.jobs().items() if state == "RUNNING"]

    def element(self, worker: int) -> str:
        """Return the element of the array that a worker runs in."""
        return f"{_variable(worker, 'SLURM_ARRAY_JOB_ID')}_{_variable(worker, 'SLURM_ARRAY_TASK_ID')}"

    def began(self) -> dict[str, datetime]:
        """Return, by host, when an owner at work took its claim, by that host's clock."""
        owners = [Store(self.store).owner(digest) for digest in self.at_work()]
        return {owner.host: datetime.fromisoformat(owner.started) for owner in owners if owner is not None}

    def said_by_front(self) -> str:
        """Return what the front end that was started last has said."""
        return self._output().read_text(errors="replace")

    def fleets(self) -> int:
        """Return how many fleets were started."""
        return len(list((self.store / "queue" / "fleets").glob("*.json")))

    def bench_workers(self, node: str | None = None) -> list[int]:
        """Return the ids of the workers' main processes, of all nodes or of one."""
        found = self.cluster.processes("bench_core.cli.main worker", str(self.store))
        # The script's shell holds the same words.
        found = [number for number in found if _name(number) not in ("", "slurm_script")]
        return [number for number in found if node in (None, _variable(number, "SLURMD_NODENAME"))]

    def caught(self, node: str | None = None) -> dict[int, str]:
        """Return the workers, of all nodes or of one, whose jobs are in their middle, with these jobs.

        In its middle is a job of which one epoch is kept, and of which three are still to come.
        """
        epochs = self.at_work()
        owners = {digest: Store(self.store).owner(digest) for digest in epochs}
        found = {}
        for worker in self.bench_workers(node):
            host = _variable(worker, "SLURMD_NODENAME") if self.cluster.namespaces else None
            inside = {_inner(number) for number in descendants(worker)}
            for digest, owner in owners.items():
                mine = owner is not None and owner.pid in inside and host in (None, owner.host)
                if mine and 1 <= epochs[digest] <= self.epochs - 3:
                    found[worker] = digest
        return found

    def catch(self, count: int = 1, node: str | None = None) -> dict[int, str]:
        """Wait until so many jobs are in their middle; return them by worker. Raises ClusterError."""
        found: dict[int, str] = {}

        def caught() -> bool:
            found.clear()
            found.update(self.caught(node))
            return len(found) >= count

        self.until(caught, f"{count} jobs in their middle", interval=0.02)
        return found

    def process(self, worker: int, digest: str) -> int:
        """Return the process, one that a worker has started, which holds the claim of a job."""
        owner = Store(self.store).owner(digest)
        return next(number for number in descendants(worker) if owner and _inner(number) == owner.pid)

    def attempts(self) -> dict[str, list[int]]:
        """Return, for each finished job, how many epochs were kept when each of its attempts began."""
        found = {}
        for path in (self.store / "jobs").glob("*/attempts.json"):
            found[path.parent.name] = [entry["epochs"] for entry in json.loads(path.read_text())]
        return found

    def resumed(self) -> set[str]:
        """Return the finished jobs that an attempt has resumed from a whole epoch."""
        return {digest for digest, epochs in self.attempts().items() if any(epochs[1:])}

    def said(self) -> str:
        """Return the last words of the front ends and of the workers."""
        paths = [*self.store.parent.glob("front-*.txt"), *self.store.glob("queue/fleets/*/*.log")]
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-1500:]}" for path in paths)

    def contents(self) -> dict[str, dict[str, str]]:
        """Return hashes of all that must be equal."""
        return contents(self.store)

    def failures(self) -> list[str]:
        """Return why jobs failed."""
        store = Store(self.store)
        found = [store.failure(digest) for digest, state in store.states().items() if state == "failed"]
        return [f"{failure.name}: {failure.message}: {failure.cause}" for failure in found if failure]

    def _output(self) -> Path:
        return self.store.parent / f"front-{self.outputs}.txt"


def descendants(pid: int) -> list[int]:
    """Return a process and all that it has started, itself first."""
    found = [pid]
    for number in found:
        with suppress(OSError):
            for task in Path(f"/proc/{number}/task").iterdir():
                found += [int(text) for text in (task / "children").read_text().split()]
    return found


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _inner(pid: int) -> int:
    """Return what a process is called in its own namespace; 0 for one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0


def _variable(pid: int, name: str) -> str | None:
    with suppress(OSError):
        for text in Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0"):
            if text.startswith(f"{name}="):
                return text.partition("=")[2]
    return None
