"""The processes of a job with several devices: started, watched and ended by the first, which keeps all.

The others get what torchrun gives: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. They hold no
claim and write nothing; they read the queued job and the cache, train their share, and end with the first.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench_core import errors
from bench_core.errors import BenchError
from bench_core.execute.death import explain_death
from bench_core.execute.failures import RankLostError, summary
from bench_core.execute.signals import RANK_LOST, StoppedAnyway
from bench_core.store.claim import release_all

if TYPE_CHECKING:
    from bench_core.protocol.ranks import Ranks

log = logging.getLogger(__name__)
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
EXCHANGE_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others in one exchange; those that die are noticed at once."""
GRACE_SECONDS = 5.0
"""How long the first process has to notice by itself that another has ended, before it is ended, too."""


class Team:
    """The processes of one job as its first one sees them. This one is of a job with one process."""

    def join(self, briefing: Mapping[str, Any]) -> Ranks:
        """Meet the others and tell them what they cannot read from the store."""
        from bench_core.protocol.ranks import ALONE

        return ALONE

    def explain(self, error: Exception) -> Exception:
        """Return why the first process failed: another's failure, where that is what broke it."""
        return error

    def end(self, *, failed: bool) -> None:
        """Take leave of the others, by force where the job has failed."""


class OutsideTeam(Team):
    """Processes that somebody else has started and watches, as torchrun does."""

    def __init__(self, device: str) -> None:
        self._device, self._direct = device, device.startswith("cuda")
        self._ranks: Ranks | None = None
        self._done = False

    def join(self, briefing: Mapping[str, Any]) -> Ranks:
        """Meet the others as the environment says."""
        self._ranks = join(self._device, direct=self._direct)
        self._ranks.tell(dict(briefing))
        return self._ranks

    def end(self, *, failed: bool) -> None:
        """Leave; those who were never told of a job hear that there is none.

        After a failure they are left to whoever started them, who hears of it by this process's exit code.
        """
        if failed or self._done:
            return
        self._done = True
        if self._ranks is None:
            self._ranks = join(self._device, direct=self._direct)
        self._ranks.tell(None)
        _leave()


@dataclass(eq=False)
class _Other:
    rank: int
    device: str
    process: BaseProcess
    pipe: Connection
    here: bool = False
    """It is about to meet the others."""
    report: dict[str, Any] | None = None
    """What it has said about its failure."""

    def heard(self) -> dict[str, Any] | None:
        """Listen, and return what it has said about its failure."""
        with suppress(EOFError, OSError):
            while self.report is None and self.pipe.poll():
                said = self.pipe.recv()
                self.here, self.report = True, said or None
        return self.report


class OwnTeam(Team):
    """Processes of this machine, one for each device but the first.

    They start at once and get ready while the first process opens its data. A thread watches them: where one
    ends before its time, and the first process does not hear of it in what it waits for, this one ends, too.
    """

    def __init__(self, store: Path, digest: str, devices: Sequence[str]) -> None:
        from torch import distributed

        if not distributed.is_available():
            raise BenchError("this build of PyTorch cannot train one job on several devices",
                             fix="set `runtime: {devices_per_job: 1}`, or install another build")  # fmt: skip
        self._devices = tuple(devices)
        self._direct = _by_nccl(self._devices)
        self._done = threading.Event()
        self._ranks: Ranks | None = None
        _use_loopback()
        # Port 0: the system chooses one that is free and keeps it.
        self._store = distributed.TCPStore(  # type: ignore[attr-defined]
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=EXCHANGE_TIMEOUT
        )
        self._stopped = StoppedAnyway(release_all)
        self._others = [self._start(store, digest, rank) for rank in range(1, len(devices))]
        threading.Thread(target=self._watch, daemon=True, name="bench-ranks").start()

    def join(self, briefing: Mapping[str, Any]) -> Ranks:
        """Meet the others, once they have all come so far."""
        from torch import distributed

        for other in self._others:
            # What waits for them in a library cannot be told that they will not come.
            while not other.here:
                connection.wait([other.pipe, other.process.sentinel])
                if other.heard() is not None or not (other.here or other.process.is_alive()):
                    raise self._failure(other)
        self._ranks = join(
            self._devices[0],
            direct=self._direct,
            store=distributed.PrefixStore("default_pg", self._store),  # type: ignore[attr-defined]
            rank=0,
            world=len(self._devices),
        )
        self._ranks.tell(dict(briefing))
        log.info("%d processes on %s, by %s", len(self._devices), ", ".join(self._devices),
                 "nccl" if self._direct else "gloo")  # fmt: skip
        return self._ranks

    def explain(self, error: Exception) -> Exception:
        """Return another process's failure, where there is one and this one cannot explain its own."""
        if isinstance(error, BenchError):
            return error
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            for other in self._others:
                if other.heard() is not None or not other.process.is_alive():
                    return self._failure(other)
            time.sleep(0.05)
        return error

    def end(self, *, failed: bool) -> None:
        """Let the others end, and see to it: they have nothing that is not here."""
        if self._done.is_set():
            return
        self._done.set()
        self._stopped.close()
        if self._ranks is not None and not failed:
            self._ranks.tell(None)
        for other in self._others:
            if not failed:
                other.process.join(GRACE_SECONDS)
            if other.process.is_alive():
                other.process.kill()
                other.process.join()
            with suppress(OSError):
                other.pipe.close()
        if failed and self._direct:
            _abort()
        _leave()

    def _start(self, store: Path, digest: str, rank: int) -> _Other:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe(duplex=False)
        values = (rank, len(self._devices), rank, "127.0.0.1", self._store.port)
        variables = dict(zip(VARIABLES, map(str, values), strict=True))
        device = self._devices[rank]
        process = context.Process(
            target=_follow_own,
            args=(theirs, store, digest, device, self._direct, variables),
            name=f"bench-{device}-{rank}",
        )
        process.start()
        theirs.close()
        return _Other(rank, device, process, mine)

    def _watch(self) -> None:
        others = {other.process.sentinel: other for other in self._others}
        while others and not self._done.is_set():
            for sentinel in connection.wait(list(others), timeout=0.5):
                other = others.pop(cast(int, sentinel))
                if other.process.exitcode == 0 or self._done.is_set():
                    continue
                log.error("%s", self._failure(other))
                if not self._done.wait(GRACE_SECONDS):
                    _abort()
                if not self._done.wait(GRACE_SECONDS):
                    with suppress(Exception):
                        release_all()
                    os._exit(RANK_LOST)

    def _failure(self, other: _Other) -> BenchError:
        other.process.join(1.0)
        place = f"process {other.rank + 1} of {len(self._devices)}, on {other.device}"
        report = other.heard()
        if report is None:
            cause, fix = explain_death(other.process.exitcode)
            return RankLostError("a process of the job died", place=place, cause=cause, fix=fix)
        log.error("%s:\n%s", place, report["traceback"])
        kind: Any = getattr(errors, report["kind"], None)
        known = isinstance(kind, type) and issubclass(kind, BenchError) and report["known"]
        words = {name: report[name] for name in ("cause", "fix")}
        return (kind if known else BenchError)(report["message"], place=report["place"] or place, **words)


def join(
    device: str, *, direct: bool, store: Any = None, rank: int | None = None, world: int | None = None
) -> Ranks:
    """Meet the other processes of a job, as the environment says or at `store`; collective."""
    import torch
    from torch import distributed

    from bench_core.protocol.ranks import Ranks

    place = torch.device(device)
    if place.type == "cuda" and place.index is not None:
        torch.cuda.set_device(place)
    direct = direct and distributed.is_nccl_available()
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if direct else "gloo",
        timeout=EXCHANGE_TIMEOUT,
        **({} if store is None else {"store": store, "rank": rank, "world_size": world}),
    )
    count = distributed.get_world_size()
    return Ranks(distributed.get_rank(), count, direct=direct, active=count)


def outside() -> int | None:
    """Return the rank that somebody else, such as torchrun, has given this process; None if nobody has."""
    if any(name not in os.environ for name in VARIABLES) or os.environ["WORLD_SIZE"] == "1":
        return None
    return int(os.environ["RANK"])


def _by_nccl(devices: Sequence[str]) -> bool:
    """Say whether each process has a GPU of its own: nccl refuses two processes on one."""
    from torch import distributed

    own = len(set(devices)) == len(devices) and all(device.startswith("cuda") for device in devices)
    return own and bool(distributed.is_nccl_available())


def _use_loopback() -> None:
    # Otherwise gloo asks for the machine's name, which need not be known to any network.
    if sys.platform.startswith("linux"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _abort() -> None:
    """Let exchanges by nccl fail: unlike gloo it does not hear that another process has ended."""
    from torch.distributed import distributed_c10d

    with suppress(Exception):
        distributed_c10d._abort_process_group()


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        with suppress(RuntimeError):
            distributed.destroy_process_group()


def _follow_own(
    pipe: Connection, store: Path, digest: str, device: str, direct: bool, variables: Mapping[str, str]
) -> None:
    from bench_core.execute.follow import follow, stand_back

    stand_back()
    os.environ.update(variables)
    _use_loopback()
    try:
        follow(store, digest, device, direct=direct, ready=lambda: pipe.send({}))
    except BaseException as error:
        known = error if isinstance(error, BenchError) else None
        report = {
            "kind": type(error).__name__,
            "known": known is not None,
            "message": summary(error),
            "place": known.place if known else None,
            "cause": known.cause if known else None,
            "fix": known.fix if known else "see the log for the traceback; this looks like a bug in a plugin",
            "traceback": "".join(traceback.format_exception(error)),
        }
        with suppress(OSError):
            pipe.send(report)
        pipe.close()
        os._exit(1)
    # Without what libraries do at the end: some of it waits for the other processes.
    os._exit(0)
