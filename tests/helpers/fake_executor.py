"""An executor without processes: it notes what is started, and a test says what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench_core.execute.executor import Assignment, Message

Play = Callable[[str], Sequence[Message]]
"""From a started job's digest to what is heard of it."""


class FakeExecutor:
    """Plays each job through as soon as it is asked for messages."""

    def __init__(self, play: Play, slots: int = 2) -> None:
        self.slots = slots
        self.started: list[str] = []
        self.most_at_once = 0
        self._play = play
        self._running: list[str] = []

    def free(self) -> int:
        return self.slots - len(self._running)

    def start(self, assignment: Assignment) -> str | None:
        self.started.append(assignment.digest)
        self._running.append(assignment.digest)
        self.most_at_once = max(self.most_at_once, len(self._running))
        return "nowhere"

    def hear(self, timeout: float) -> Sequence[Message]:
        messages = [message for digest in self._running for message in self._play(digest)]
        self._running.clear()
        return messages

    def dismiss(self) -> None:
        assert not self._running

    def stop(self, *, kill: bool = False) -> None:
        self._running.clear()

    def stopped(self, timeout: float) -> bool:
        return not self._running
