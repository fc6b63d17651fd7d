"""An executor under test, and the boards on which workers that it has started leave their marks."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench_core.conformance import stand_in
from bench_core.conformance.declared import Origin, origin_of
from bench_core.conformance.properties import Wrong, place_of
from bench_core.declarations import ExecutorDeclaration, Fleet, FleetRequest, resolve_entry
from bench_core.declarations.code import call
from bench_core.errors import UnknownNameError
from bench_core.execute.fleets import require
from bench_core.options import Option, complete_options
from bench_core.plugins.registry import Registry

PATIENCE_SECONDS = 120.0
"""How long workers may take to start: a scheduler looks at its queue every so often."""
ENDING_SECONDS = 60.0
"""How long they may take to end, and a scheduler to notice."""
WORDS = ("two words", 'it\'s "quoted"', "$HOME", "*", "a;b|c&d", "--name=Zoë", "")
"""Arguments that a shell would change."""
STRANGE = 'Zoë\'s "store" of $HOME; it is 100% odd'


class Board:
    """A folder for one fleet: what workers see of it, what they leave, and the request."""

    def __init__(self, root: Path, *orders: str, new: bool = True) -> None:
        self.store = root / "store"
        self.folder = self.store / "fleet"
        self._board = self.store / "board"
        self.working = root / "working"
        """In which the executor is started."""
        for path in (self.folder, self._board, self.working):
            path.mkdir(parents=True, exist_ok=not new)
        for order in orders:
            self.order(order)

    @classmethod
    def of(cls, root: Path) -> Board:
        """Return the board that another process has made."""
        return cls(root, new=False)

    def order(self, name: str) -> None:
        """Tell the workers something, by one of the files of `stand_in`."""
        (self._board / name).touch()

    def request(self, workers: int) -> FleetRequest:
        """Return a request for stand-ins of workers."""
        command = (sys.executable, stand_in.__file__, str(self._board), *WORDS)
        return FleetRequest("segtrial-test", self.store, command, workers, folder=self.folder)

    def started(self) -> list[dict[str, Any]]:
        """Return what each worker has noted at its start."""
        return [json.loads(path.read_text("utf-8")) for path in self._marks(stand_in.STARTED)]

    def ends(self) -> list[str]:
        """Return why each worker that has ended did so."""
        return [json.loads(path.read_text("utf-8")) for path in self._marks(stand_in.ENDED)]

    def beats(self) -> int:
        """Return a number that grows as long as any worker lives."""
        return sum(path.stat().st_size for path in self._marks(stand_in.ALIVE))

    def still(self) -> bool:
        """Say whether no worker lives, having watched for a second."""
        before = self.beats()
        time.sleep(20 * stand_in.LOOK_SECONDS)
        return self.beats() == before

    def strays(self) -> list[str]:
        """Return what lies in the store beside the fleet's folder and the board."""
        return sorted(path.name for path in self.store.iterdir() if path not in (self.folder, self._board))

    def logs(self) -> str:
        """Return all that stands in the fleet's folder."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return "".join(path.read_text("utf-8", errors="replace") for path in files)

    def _marks(self, suffix: str) -> list[Path]:
        return sorted(path for path in self._board.iterdir() if path.suffix == suffix)


@dataclass(frozen=True)
class Usual:
    """What was seen of two workers that work and end by themselves."""

    waited: bool
    """`start` returned only after its workers had ended."""
    label: Any
    workers: list[dict[str, Any]]
    alive: Any
    """What the fleet said while both were at work."""
    alive_after: Any
    ends: list[str]
    strays: list[str]
    """What lies in the store beside the fleet's folder."""
    working: list[str]
    """What lies in the folder in which the executor was started."""
    logs: str


@dataclass(frozen=True)
class Stopped:
    """What was seen of workers that were asked to end."""

    waited: bool
    """`stop` returned only after the workers had ended."""
    ends: list[str]
    still: bool
    alive_after: Any


@dataclass(frozen=True)
class ExecutorSubject:
    """An executor with options, and how many seconds its workers may take to start and to end."""

    declared: ExecutorDeclaration
    options: Mapping[str, Any] = field(default_factory=dict)
    """Complete."""
    origin: Origin | None = None
    patience: float = PATIENCE_SECONDS
    ending: float = ENDING_SECONDS

    @property
    def place(self) -> str:
        """Where its `start` is written."""
        return place_of(self.declared.start)

    @property
    def options_declared(self) -> Mapping[str, Option]:
        """Its options."""
        return self.declared.options

    @property
    def words(self) -> Mapping[str, str]:
        """What people read of it."""
        return {"help": self.declared.help}

    def start(self, request: FleetRequest) -> Fleet:
        """Start workers as a run does."""
        entry = resolve_entry(self.declared.start)
        fleet: Fleet = call(f"executor {self.declared.name!r}", lambda: entry(request, dict(self.options)))
        return fleet

    def attach(self, folder: Path) -> Fleet:
        """Find workers as another run does."""
        assert self.declared.attach is not None
        entry = resolve_entry(self.declared.attach)
        fleet: Fleet = call(f"executor {self.declared.name!r}", lambda: entry(folder, dict(self.options)))
        return fleet

    @contextmanager
    def board(self, *orders: str, name: str = "trial") -> Iterator[Board]:
        """Yield a board; workers that are left when the block ends see it vanish, and end."""
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            board = Board(Path(folder).resolve() / name, *orders)
            try:
                yield board
            finally:
                board.order(stand_in.OVER)
                self.wait(lambda: len(board.ends()) >= len(board.started()) or board.still())

    def wait(self, ready: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until something is so; False if it is not after so long, or after the time to end."""
        until = time.monotonic() + (self.ending if seconds is None else seconds)
        while not (found := ready()) and time.monotonic() < until:
            time.sleep(0.05)
        return found

    @contextmanager
    def freeing(self, board: Board, order: str) -> Iterator[Callable[[], bool]]:
        """Give the workers an order if the block takes longer than the patience; yields whether it did."""
        timer = threading.Timer(self.patience, board.order, [order])
        timer.daemon = True
        timer.start()
        try:
            yield lambda: not timer.is_alive()
        finally:
            timer.cancel()

    def wait_for_workers(self, board: Board, count: int) -> None:
        """Wait until so many have started; raises Wrong if they do not."""
        if not self.wait(lambda: len(board.started()) >= count, self.patience):
            said = board.logs().strip().splitlines()
            raise Wrong(
                f"{len(board.started())} of {count} workers have started after {self.patience:g} s"
                + (f"; its folder says: {said[-1][:200]}" if said else ""),
                fix="start request.workers processes of request.command; where nodes do not share "
                f"{tempfile.gettempdir()}, set TMPDIR to a folder that they share",
            )

    @cached_property
    def usual(self) -> Usual:
        """Two workers that find nothing left after a while."""
        with self.board() as board:
            with chdir(board.working), self.freeing(board, stand_in.OVER) as freed:
                fleet = self.start(board.request(2))
                waited = freed()
            try:
                self.wait_for_workers(board, 2)
                self.wait(lambda: fleet.alive() in (2, None))
                alive, workers = fleet.alive(), board.started()
                board.order(stand_in.OVER)
                self.wait(lambda: len(board.ends()) >= len(board.started()))
                self.wait(lambda: fleet.alive() in (0, None))
                return Usual(
                    waited=waited,
                    label=fleet.label,
                    workers=workers,
                    alive=alive,
                    alive_after=fleet.alive(),
                    ends=board.ends(),
                    strays=board.strays(),
                    working=sorted(path.name for path in board.working.iterdir()),
                    logs=board.logs(),
                )
            finally:
                with suppress(Exception):
                    fleet.stop(kill=True)

    @cached_property
    def stopped(self) -> Stopped:
        """Two workers that are asked to end and take their time."""
        with self.board() as board:
            fleet = self.start(board.request(2))
            self.wait_for_workers(board, 2)
            return self.stop(board, fleet)

    def stop(self, board: Board, fleet: Fleet, *, kill: bool = False) -> Stopped:
        """Stop workers and say what came of it."""
        with self.freeing(board, stand_in.MAY_END) as freed:
            fleet.stop(kill=kill)
            waited = freed()
        board.order(stand_in.MAY_END)
        still = self.wait(board.still)
        self.wait(lambda: fleet.alive() in (0, None))
        return Stopped(waited, board.ends(), still, fleet.alive())


def subject_of(
    registry: Registry,
    name: str,
    given: Mapping[str, Any],
    patience: float = PATIENCE_SECONDS,
    ending: float = ENDING_SECONDS,
) -> ExecutorSubject:
    """Return an executor to test.

    Raises UnknownNameError for a name or options that do not exist, other BenchErrors for an executor that
    cannot be used here.
    """
    declared = registry.executor(name)
    try:
        options = complete_options(declared.options, given)
    except ValueError as error:
        raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
    require(declared)
    origin = origin_of(registry, "bench_executors", name)
    return ExecutorSubject(declared, options, origin, patience, ending)
