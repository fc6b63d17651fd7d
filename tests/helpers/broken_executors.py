"""Executors that are right, and many that break one property each; a plugin file."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench_core import ExecutorDeclaration, FleetRequest, hookimpl
from bench_core.processes.liveness import is_running, process_start


class Right:
    """Workers as processes of sessions of their own."""

    label = "processes"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[list[Any]] = json.loads((folder / "workers.json").read_text())

    def runs(self, pid: int, started: str) -> bool:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return is_running(pid, started) is not False

    def alive(self) -> Any:
        return sum(self.runs(*worker) for worker in self.workers)

    def stop(self, *, kill: bool = False) -> None:
        for pid, started in self.workers:
            if self.runs(pid, started):
                self.signal(pid, kill)

    def signal(self, pid: int, kill: bool) -> None:
        os.killpg(pid, signal.SIGKILL if kill else signal.SIGTERM)


def hire(command: Sequence[str] | str, folder: Path, **how: Any) -> list[Any]:
    with (folder / "log").open("ab") as log:
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
        process = subprocess.Popen(command, **(streams | how))
    return [process.pid, process_start(process.pid)]


def begin(kind: type[Right], request: FleetRequest, options: Any) -> Right:
    workers = [hire(request.command, request.folder) for _ in range(request.workers)]
    return keep(kind, request, workers)


def keep(kind: type[Right], request: FleetRequest, workers: list[list[Any]]) -> Right:
    (request.folder / "workers.json").write_text(json.dumps(workers))
    return kind(request.folder)


class CannotTell(Right):
    def alive(self) -> Any:
        return None


class Nameless(Right):
    label = "two\nlines"


class CountsHalf(Right):
    def alive(self) -> Any:
        return super().alive() // 2


class CountsEnded(Right):
    def alive(self) -> Any:
        return len(self.workers)


class CountsFailed(Right):
    """Takes a process that is gone for one that works, unless it said that it is over."""

    def alive(self) -> Any:
        said = "over" in "".join(path.read_text() for path in self.folder.glob("../board/*.ended"))
        return super().alive() if said or super().alive() else len(self.workers)


class KillsAtOnce(Right):
    def signal(self, pid: int, kill: bool) -> None:
        super().signal(pid, True)


class WaitsForTheEnd(Right):
    def signal(self, pid: int, kill: bool) -> None:
        super().signal(pid, kill)
        if not kill:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


class CountsStopped(Right):
    stopped = False

    def alive(self) -> Any:
        return len(self.workers) if self.stopped else super().alive()

    def stop(self, *, kill: bool = False) -> None:
        super().stop(kill=kill)
        self.stopped = True


class NeverKills(Right):
    def signal(self, pid: int, kill: bool) -> None:
        super().signal(pid, False)


class StopsTheEnded(Right):
    def stop(self, *, kill: bool = False) -> None:
        super().stop(kill=kill)
        if self.alive() == 0:
            raise ProcessLookupError("they have ended")


class FindsNobody(Right):
    def alive(self) -> Any:
        return 0 if (self.folder / "attached").exists() else super().alive()


def waits(request: FleetRequest, options: Any) -> Right:
    fleet = begin(Right, request, options)
    for pid, _ in fleet.workers:
        os.waitpid(pid, 0)
    return fleet


def one_only(request: FleetRequest, options: Any) -> Right:
    return keep(Right, request, [hire(request.command, request.folder)])


def through_a_shell(request: FleetRequest, options: Any) -> Right:
    texts = [subprocess.list2cmdline(request.command) for _ in range(request.workers)]
    return keep(Right, request, [hire(text, request.folder, shell=True) for text in texts])


def again_and_again(request: FleetRequest, options: Any) -> Right:
    text = f"while :; do {shlex.join(request.command)}; done"
    return keep(Right, request, [hire(text, request.folder, shell=True) for _ in range(request.workers)])


def astray_in_the_store(request: FleetRequest, options: Any) -> Right:
    (request.store / "fleet.json").touch()
    return begin(Right, request, options)


def astray_at_home(request: FleetRequest, options: Any) -> Right:
    Path("fleet-1234.out").touch()
    return begin(Right, request, options)


def silent(request: FleetRequest, options: Any) -> Right:
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    workers = [hire(request.command, request.folder, **nowhere) for _ in range(request.workers)]
    return keep(Right, request, workers)


def unquoted_path(request: FleetRequest, options: Any) -> Right:
    text = f"cd {request.folder} && exec {shlex.join(request.command)}"
    return keep(Right, request, [hire(text, request.folder, shell=True) for _ in range(request.workers)])


def needs_a_command(request: FleetRequest, options: Any) -> Right:
    subprocess.run(["true"], check=True)
    return begin(Right, request, options)


def attach(kind: type[Right], folder: Path, options: Any) -> Right:
    (folder / "attached").touch()
    return kind(folder)


@dataclass(frozen=True)
class Broken:
    """An executor and the property that it fails by."""

    name: str
    property: str
    start: Any
    changes: dict[str, Any] = field(default_factory=dict)
    patience: float = 30.0
    quick: bool = False


BROKEN = (
    Broken("wordless", "the declaration is filled in", partial(begin, Right), {"help": " "}, quick=True),
    Broken("waits", "starting returns at once", waits, patience=2.5),
    Broken("one-only", "as many workers start as are asked for", one_only, patience=2.0),
    Broken("nameless", "the fleet has a label", partial(begin, Nameless), quick=True),
    Broken("shell", "a worker's command arrives word by word", through_a_shell, quick=True),
    Broken("half", "those at work are counted", partial(begin, CountsHalf)),
    Broken("again", "workers end by themselves", again_and_again),
    Broken("counts-ended", "when all have ended, none is alive", partial(begin, CountsEnded)),
    Broken("astray-in-store", "nothing else is written", astray_in_the_store),
    Broken("astray-at-home", "nothing else is written", astray_at_home),
    Broken("silent", "what workers print is kept", silent),
    Broken("counts-failed", "a worker that fails is not counted", partial(begin, CountsFailed), patience=2.5),
    Broken("unquoted", "the store may lie anywhere", unquoted_path, patience=2.5),
    Broken("kills-at-once", "stopping lets jobs be given back", partial(begin, KillsAtOnce)),
    Broken("waits-for-end", "stopping returns at once", partial(begin, WaitsForTheEnd), patience=2.5),
    Broken("counts-stopped", "when all were stopped, none is alive", partial(begin, CountsStopped)),
    Broken("never-kills", "killing ends what does not listen", partial(begin, NeverKills)),
    Broken("stops-ended", "killing ends what does not listen", partial(begin, StopsTheEnded)),
    Broken(
        "finds-nobody",
        "another process finds and stops its workers",
        partial(begin, FindsNobody),
        {"attach": partial(attach, FindsNobody)},
    ),
    Broken("needs-command", "a scheduler that is not there is told", needs_a_command),
)


@hookimpl
def bench_executors() -> list[ExecutorDeclaration]:
    help = "tried in tests"
    right = [
        ExecutorDeclaration(
            name="right", start=partial(begin, Right), attach=partial(attach, Right), help=help
        ),
        ExecutorDeclaration(name="right-cannot-tell", start=partial(begin, CannotTell), help=help),
    ]
    broken = [
        ExecutorDeclaration(**({"name": item.name, "start": item.start, "help": help} | item.changes))
        for item in BROKEN
    ]
    return right + broken
