"""The processes of a job with several devices, as its first one sees them, which keeps all.

The others get what torchrun gives: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. They hold no
claim and write nothing; they are told the job, read the cache, train their share, and end with the first.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import BenchError
from bench_core.execute.crew import Crew
from bench_core.execute.crew_messages import Task
from bench_core.execute.failures import RankLostError
from bench_core.execute.member import GRACE_SECONDS
from bench_core.execute.signals import RANK_LOST, StoppedAnyway
from bench_core.store.claim import release_all

if TYPE_CHECKING:
    from bench_core.plan.job import Job
    from bench_core.protocol.ranks import Ranks
    from bench_core.protocol.run_options import RunOptions

log = logging.getLogger(__name__)
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
EXCHANGE_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others in one exchange; those that die are noticed at once."""


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


class OwnTeam(Team):
    """A crew's processes and this one, for one job.

    They get ready while the first process opens its data. Where one is lost, and the first process does not
    hear of it in what it waits for, this one ends, too.
    """

    def __init__(self, crew: Crew, job: Job, options: RunOptions, cache: Path) -> None:
        from torch import distributed

        if not distributed.is_available():
            raise BenchError("this build of PyTorch cannot train one job on several devices",
                             fix="set `runtime: {devices_per_job: 1}`, or install another build")  # fmt: skip
        self._crew, self._devices = crew, crew.start.devices
        self._direct = _by_nccl(self._devices)
        self._done = threading.Event()
        self._ranks: Ranks | None = None
        use_loopback()
        # Port 0: the system chooses one that is free and keeps it.
        self._meeting = distributed.TCPStore(  # type: ignore[attr-defined]
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=EXCHANGE_TIMEOUT
        )
        self._stopped = StoppedAnyway(release_all)
        crew.tell(Task(job, options, cache, self._direct, self._meeting.port), self._meeting, self._lose)

    def join(self, briefing: Mapping[str, Any]) -> Ranks:
        """Meet the others, once they have all come so far."""
        from torch import distributed

        # What waits for them in a library cannot be told that they will not come.
        if not self._crew.wait("here"):
            raise self._crew.failure() or RankLostError("a process of the job died")
        self._ranks = join(
            self._devices[0],
            direct=self._direct,
            store=distributed.PrefixStore("default_pg", self._meeting),  # type: ignore[attr-defined]
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
        return self._crew.failure(GRACE_SECONDS) or error

    def end(self, *, failed: bool) -> None:
        """Let the others end their share, or end them, too: they have nothing that is not here."""
        if self._done.is_set():
            return
        self._done.set()
        self._stopped.close()
        if failed or self._ranks is None:
            self._crew.close()
            if self._direct:
                _abort()
        else:
            self._ranks.tell(None)
            # By nccl processes leave together, by gloo this one leaves when the others have.
            if not self._crew.wait("done" if self._direct else "idle", GRACE_SECONDS):
                self._crew.close()
        self._crew.release()
        _leave()

    def _lose(self) -> None:
        log.error("%s", self._crew.failure())
        if not self._done.wait(GRACE_SECONDS):
            _abort()
        if not self._done.wait(GRACE_SECONDS):
            with suppress(Exception):
                release_all()
            os._exit(RANK_LOST)


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


def use_loopback() -> None:
    """Let processes of one machine exchange by its loopback device."""
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
