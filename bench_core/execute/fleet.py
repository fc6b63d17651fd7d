"""A run whose jobs are pulled by workers elsewhere: it hands out nothing, and hears from the store."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from bench_core.errors import BenchError
from bench_core.execute.executor import Assignment, Message, Workers
from bench_core.execute.fleets import FleetError, Manned, close_fleet, fleet_folder
from bench_core.execute.outlook import Outlook
from bench_core.files.bounded import open_regular
from bench_core.store.store import Store
from bench_core.text import visible_name

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
"""How soon, and how seldom at last, an executor is asked for its workers: schedulers dislike questions."""
SURE_AFTER = 3
"""Times that no worker must be found alive before that is believed."""
COUNT_SECONDS = 0.5
"""How often executors are asked at most while workers are ending."""
LOGS = (".log", ".out", ".err", ".txt")
TAIL_BYTES, LONGEST_LINE = 4096, 300
FAREWELL_SECONDS = 10.0
"""How long workers may take to notice that nothing is left, before their fleet is stopped."""


class FleetExecutor:
    """Fleets as an executor of a run's loop (see bench_core.execute.executor.Executor).

    `batch` names the queued jobs of this run. `more` starts another fleet, for jobs that are left when the
    fleets that were there before have ended; None where one was started already. `again` is the command that
    starts the run once more.
    """

    def __init__(
        self,
        store: Store,
        outlook: Outlook,
        batch: str,
        fleets: Sequence[Manned],
        more: Callable[[], Manned] | None,
        again: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = max(1, sum(item.record.workers for item in fleets))
        self.refused: list[BenchError] = []
        """Why fleets could not be stopped."""
        self._store, self._outlook, self._batch = store, outlook, batch
        self._fleets, self._more, self._again, self._clock = list(fleets), more, again, clock
        self._pause, self._due = FIRST_SECONDS, -math.inf
        self._counted, self._alive = -math.inf, 0 if not fleets else None
        self._none = 0
        self._text = ""
        self._over = False

    def free(self) -> int:
        """Return 0: workers take jobs by themselves."""
        return 0

    def start(self, assignment: Assignment) -> str | None:
        """Start nothing."""
        return None

    def hear(self, timeout: float) -> Sequence[Message]:
        """Wait, and return what the store and the executors say.

        Raises FleetError when no worker is alive any more while jobs are left.
        """
        time.sleep(timeout)
        messages = self._outlook.look()
        if self._clock() < self._due:
            return messages
        alive = self._count()
        messages += self._told(alive)
        self._pause = min(2 * self._pause, LONGEST_SECONDS)
        if alive == 0:
            # Their last results may be younger than the last look.
            messages += self._outlook.look(now=True)
            self._pause = FIRST_SECONDS
        self._due = self._clock() + self._pause
        if alive != 0 or messages or self._outlook.at_work or not self._outlook.left:
            self._none = 0
            return messages
        self._none += 1
        return self._next() if self._none >= SURE_AFTER else messages

    def dismiss(self) -> None:
        """Let workers end by themselves, and take out of the queue those that have not begun."""
        until = self._clock() + FAREWELL_SECONDS
        own = [item for item in self._fleets if item.record.batch == self._batch]
        while any(item.alive() for item in own) and self._clock() < until:
            time.sleep(COUNT_SECONDS)
        for item in own:
            if item.alive() != 0:
                self._stop(item)
        self._close()
        self._over = True

    def stop(self, *, kill: bool = False) -> None:
        """Ask all workers to give their jobs back and end, or end them by force."""
        for item in () if self._over else self._fleets:
            if item.alive() != 0:
                self._stop(item, kill=kill)

    def stopped(self, timeout: float) -> bool:
        """Say whether no worker is left; of those that nobody can ask for, whether none is at work."""
        until = self._clock() + timeout
        while not (over := self._over or self._ended()) and self._clock() < until:
            time.sleep(min(timeout, COUNT_SECONDS))
        return over

    def _ended(self) -> bool:
        alive = self._count()
        if alive is None:
            self._outlook.look()
            return self._outlook.at_work == 0
        if alive == 0:
            self._close()
        return alive == 0

    def _count(self) -> int | None:
        """Return how many workers are known to be alive; None where none is, but not all can be asked for."""
        if self._clock() - self._counted >= COUNT_SECONDS:
            known = [item.alive() for item in self._fleets]
            total = sum(filter(None, known))
            self._alive = None if not total and None in known else total
            self._counted = self._clock()
        return self._alive

    def _told(self, alive: int | None) -> list[Message]:
        labels = " and ".join(item.label for item in self._fleets)
        count = "how many workers are alive is not known" if alive is None else f"{alive} worker(s) alive"
        text = f"{labels}: {count}" if labels else ""
        if labels and not _is_there(self._store.path):
            text += f"; the store {self._store.path} is not there now, and its jobs are waited for"
        if text == self._text:
            return []
        self._text = text
        return [Workers(text)]

    def _next(self) -> list[Message]:
        """Start the fleet that this run is still free to start; raise FleetError where it was started."""
        self._close()
        if self._more is None:
            raise self._gone()
        self._fleets, self._more = [self._more()], None
        self._none, self._due, self._counted = 0, -math.inf, -math.inf
        return []

    def _gone(self) -> FleetError:
        labels = " and ".join(item.label for item in self._fleets) or "no fleet"
        folder = fleet_folder(self._store, self._fleets[-1].record) if self._fleets else self._store.path
        said = last_words(folder)
        return FleetError(
            f"no worker is alive any more, and {self._outlook.left} job(s) are left",
            place=str(folder),
            cause=f"{labels} ended" + (f"; the last log there ends with: {said}" if said else ""),
            fix=self._again,
        )

    def _stop(self, item: Manned, *, kill: bool = False) -> None:
        try:
            item.stop(kill=kill)
        except BenchError as error:
            if not kill:
                self.refused.append(error)

    def _close(self) -> None:
        for item in self._fleets:
            if item.alive() == 0:
                close_fleet(self._store, item.record)


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False


def last_words(folder: Path) -> str:
    """Return the last line of the newest log in a fleet's folder; "" where there is none."""
    with suppress(OSError, ValueError):
        files = [path for path in folder.rglob("*") if path.suffix in LOGS and path.is_file()]
        newest = max(files, key=lambda path: path.stat().st_mtime)
        with open_regular(newest) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).decode("utf-8", "replace").split("\n")
        return next(visible_name(line.strip())[:LONGEST_LINE] for line in reversed(lines) if line.strip())
    return ""
