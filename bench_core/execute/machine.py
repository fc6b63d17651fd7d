"""What this process may use of its machine, and whether a run asks for more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench_core.errors import BenchError

WORKER_BYTES = 3 * 2**29
"""Memory that a worker on the CPU is reckoned to need at least: framework, a small network, its images."""
LOADER_BYTES = 2**28
"""Memory that a loader process is reckoned to need beside what it shares with its worker."""
LOADERS_PER_CORE = 2
"""Loader processes wait for the disk much of the time."""
MOST_LOADERS = 8
"""Loader processes of a job that are chosen without being asked for."""
FEW_LOADERS = 4
"""So many loader processes are never too many for a machine's cores."""
PLENTY = 2**62
"""Bytes, where the system does not tell."""


class OversubscribedError(BenchError):
    """A run that asks for more than the machine has."""


@dataclass(frozen=True)
class Machine:
    """Cores and memory left to this process: affinity, container limits and other processes count."""

    cores: int
    memory: int
    """Bytes that are free for new processes."""

    @classmethod
    def here(cls, root: Path = Path("/")) -> Machine:
        """Return what there is; `root` is where /proc and /sys lie."""
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        quotas = [_quota(folder) for folder in _groups(root, "cpu", "cpu,cpuacct")]
        limits = [_free_in(folder) for folder in _groups(root, "memory")]
        return cls(
            cores=max(1, min([affinity, *(round(quota) for quota in quotas if quota is not None)])),
            memory=max(0, min([_available(root), *(limit for limit in limits if limit is not None)])),
        )


def most_workers(machine: Machine, threads: int, loader_workers: int, processes: int = 1) -> int:
    """Return how many workers on the CPU fit, at least one; each trains in so many processes."""
    most = min(machine.cores // threads, machine.memory // _bytes(loader_workers))
    return max(1, most // processes)


def choose_loaders(
    asked: int | Literal["auto"], machine: Machine, devices: Sequence[str], threads: int
) -> int:
    """Return the loader processes of each process that trains at a time, one for each of `devices`.

    Auto gives a job on a CUDA GPU the cores that are left to it beside its own threads, as far as memory
    carries them. On a CPU training needs the cores itself.
    """
    if asked != "auto":
        return asked
    if not all(device.startswith("cuda") for device in devices):
        return 0
    jobs = len(devices)
    cores = machine.cores // jobs - threads
    memory = (machine.memory // jobs - WORKER_BYTES) // LOADER_BYTES
    return max(0, min(MOST_LOADERS, cores, memory))


def check_load(machine: Machine, workers: int, threads: int, loader_workers: int, processes: int = 1) -> None:
    """Raise OversubscribedError if the products, or the memory that they take, exceed the machine.

    Each of the workers trains in so many `processes`, each of which has threads and loaders of its own. A
    single job in one process without loaders and with no more threads than cores is never refused.
    """
    training = workers * processes
    loaders = training * loader_workers
    memory = training * _bytes(loader_workers)
    most_loaders = max(FEW_LOADERS, LOADERS_PER_CORE * machine.cores)
    who = f"{workers} worker(s)" if processes == 1 else f"{workers} worker(s) x {processes} devices_per_job"
    asked = []
    if training * threads > machine.cores:
        asked.append(f"{who} x {threads} thread(s) = {training * threads} busy threads")
    if loaders > most_loaders:
        asked.append(
            f"{who} x {loader_workers} loader_workers = {loaders} loader processes, "
            f"of which {most_loaders} are sensible here"
        )
    if (training > 1 or loaders) and memory > machine.memory:
        asked.append(f"about {_gib(memory)} of memory for {who} and {loaders} loader(s)")
    if asked:
        threads = min(threads, max(1, machine.cores // processes))
        fits = most_workers(machine, threads, 0, processes)
        raise OversubscribedError(
            "the run asks for more than this machine has",
            cause=f"{'; '.join(asked)}; there are {machine.cores} core(s) and {_gib(machine.memory)} free",
            fix=f"--workers {min(workers, fits)} --threads {threads}, and `runtime: {{loader_workers: 0}}` "
            "or a few; --oversubscribe runs it nevertheless",
        )


def memory_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has ended in this process's control group for lack of memory."""
    counts = [0]
    for folder in _groups(root, "memory"):
        with suppress(OSError, ValueError):
            for name in ("memory.events", "memory.oom_control"):
                if (folder / name).exists():
                    lines = dict(line.split() for line in (folder / name).read_text().splitlines())
                    counts.append(int(lines.get("oom_kill", 0)))
    return max(counts)


def _bytes(loader_workers: int) -> int:
    return WORKER_BYTES + loader_workers * LOADER_BYTES


def _gib(count: int) -> str:
    return "plenty of memory" if count >= PLENTY else f"{count / 2**30:.1f} GiB of memory"


def _available(root: Path) -> int:
    with suppress(OSError, StopIteration, ValueError, IndexError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    return PLENTY


def _groups(root: Path, *controllers: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups and all above them (versions 1 and 2)."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, names, path = line.split(":", 2)
            if number == "0" and not names:
                base = root / "sys/fs/cgroup"
            elif names in controllers or set(names.split(",")) & set(controllers):
                base = root / "sys/fs/cgroup" / names
            else:
                continue
            place = Path(path.lstrip("/"))
            # In a container the path may be that of the host; its own group is then mounted at the top.
            yield from dict.fromkeys(base / part for part in (place, *place.parents))


def _quota(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        number = int((folder / "cpu.cfs_quota_us").read_text())
        return None if number <= 0 else number / int((folder / "cpu.cfs_period_us").read_text())
    return None


def _free_in(folder: Path) -> int | None:
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            if most >= 2**60:
                return None  # Version 1 writes a huge number where there is no limit.
            return most - used + _reclaimable(folder)
    return None


def _reclaimable(folder: Path) -> int:
    """Return the page cache that the system gives back when it is needed."""
    with suppress(OSError, ValueError):
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(facts.get("total_inactive_file", facts.get("inactive_file", "0")))
    return 0
