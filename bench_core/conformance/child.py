"""A process that trains jobs under one runner, alone or with others, and records them; it may be killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.conformance.job import KILLED_AT_STEP, KILLED_IN_EPOCH, Kind, Subject, is_exact, make_job
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.protocol.ranks import Ranks

PATIENCE = timedelta(minutes=5)
"""How long a process waits for the others, which load the same frameworks, in one exchange."""


@dataclass(frozen=True)
class Errand:
    """What a process has to do."""

    runner: str
    subject: Subject
    plugins: tuple[Path, ...]
    kinds: tuple[Kind, ...]
    folder: Path
    """Where the jobs keep their state and the records are written; a state that is there is gone on from."""
    threads: int = 1
    device: str = "cpu"
    killed: bool = False
    """Kill yourself in the middle of the job."""
    rank: int = 0
    world: int = 1
    """Of so many processes, which meet at `meeting`, this is number `rank`."""
    meeting: Path | None = None

    @property
    def records(self) -> Path:
        """The file of the records: kind to Record, or to why the device cannot compute it."""
        return self.folder / "records.pickle"

    def to_json(self) -> str:
        """Return text from which `from_json` makes an equal errand."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Errand:
        """Rebuild an errand from `to_json`'s text."""
        data: dict[str, Any] = json.loads(text)
        data["subject"] = Subject(**data["subject"])
        data["plugins"] = tuple(Path(path) for path in data["plugins"])
        data["meeting"] = None if data["meeting"] is None else Path(data["meeting"])
        return cls(**data | {"folder": Path(data["folder"]), "kinds": tuple(data["kinds"])})


def run(errand: Errand) -> None:
    """Do the errand and write its records."""
    from bench_core.conformance.observe import lacks, observe
    from bench_core.conformance.record import Record
    from bench_core.plugins.wiring import load_registry
    from bench_core.protocol.contract import RunOptions

    options = RunOptions(device=errand.device, threads=errand.threads)
    found: dict[Kind, Any] = {}
    try:
        registry = load_registry(errand.plugins)
        declared = registry.model(errand.subject.name)
    except BenchError as error:
        found = {kind: Record(error=error.message) for kind in errand.kinds}
    with met(errand.rank, errand.world, errand.meeting) as ranks:
        for kind in errand.kinds if not found else ():
            exact = is_exact(errand.threads, errand.device)
            job = make_job(declared, errand.subject, errand.runner, kind, exact=exact)
            interrupt = _kill if errand.killed else _go_on
            found[kind] = lacks(job.training.precision, options) or observe(
                job, registry, errand.folder / kind, options, interrupt, ranks
            )
    scratch = errand.records.with_suffix(".part")
    scratch.write_bytes(pickle.dumps(found))
    scratch.replace(errand.records)


@contextmanager
def met(rank: int, world: int, meeting: Path | None) -> Iterator[Ranks]:
    """Meet the other processes at a file, which nobody else uses; without others do nothing."""
    from torch import distributed

    from bench_core.protocol.ranks import ALONE, Ranks

    if meeting is None:
        yield ALONE
        return
    # Otherwise gloo asks for the machine's name, which need not be known to any network.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    place = meeting.absolute().as_uri()
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        yield Ranks(rank, world, active=world)
    finally:
        distributed.destroy_process_group()


def _go_on(epoch: int, step: int) -> None:
    """Interrupt nothing."""


def _kill(epoch: int, step: int) -> None:
    if (epoch, step) == (KILLED_IN_EPOCH, KILLED_AT_STEP):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


if __name__ == "__main__":
    run(Errand.from_json(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Without what libraries do at the end: a process that has met others is now and then aborted there.
    os._exit(0)
