"""What every executor owes: a function a property."""

from __future__ import annotations

from typing import Any

from bench_core.conformance import stand_in
from bench_core.conformance.elsewhere import ask
from bench_core.conformance.executor_subject import STRANGE, WORDS, ExecutorSubject, Stopped
from bench_core.conformance.properties import NotApplicable, Wrong
from bench_core.text import hidden_in

LONGEST_LABEL = 200


def returns_at_once(subject: ExecutorSubject) -> None:
    """`start` does not wait for the workers."""
    if subject.usual.waited:
        raise Wrong("start returns only when its workers have ended")


def labeled(subject: ExecutorSubject) -> None:
    """The fleet has a name for people, on one line."""
    label = subject.usual.label
    shown = isinstance(label, str) and label.strip() and not hidden_in(label, name=True)
    if not shown or len(label) > LONGEST_LABEL:
        raise Wrong(f"the fleet's label is {label!r}")


def as_many_as_asked(subject: ExecutorSubject) -> None:
    """Two are started where two are asked for."""
    count = len(subject.usual.workers)
    if count != 2:
        raise Wrong(f"{count} workers have started where 2 were asked for")


def word_by_word(subject: ExecutorSubject) -> None:
    """Each worker gets the command as it is; options may follow."""
    for worker in subject.usual.workers:
        _expect_words(worker["words"])


def _expect_words(words: list[str]) -> None:
    if tuple(words[: len(WORDS)]) != WORDS:
        wrong = next(
            (f"{expected!r} as {found!r}" for expected, found in zip(WORDS, words, strict=False)
             if expected != found), "too few words",
        )  # fmt: skip
        raise Wrong(f"a worker gets {wrong}")


def counted(subject: ExecutorSubject) -> None:
    """`alive` counts those at work."""
    alive = subject.usual.alive
    if alive is not None and (not isinstance(alive, int) or isinstance(alive, bool) or alive != 2):
        raise Wrong(f"alive says {alive!r} while 2 workers are at work")


def ends_by_itself(subject: ExecutorSubject) -> None:
    """Nothing keeps workers for which nothing is left, or starts them again."""
    if subject.usual.ends != [stand_in.OVER, stand_in.OVER]:
        ends = ", ".join(subject.usual.ends) or "nothing"
        raise Wrong(f"with nothing left to do, two workers should end by themselves; they noted: {ends}")


def none_alive_after(subject: ExecutorSubject) -> None:
    """`alive` falls to 0."""
    if subject.usual.alive_after not in (0, None):
        raise Wrong(f"alive says {subject.usual.alive_after!r} after all workers have ended")


def nothing_astray(subject: ExecutorSubject) -> None:
    """It writes into the request's folder only."""
    if subject.usual.strays:
        raise Wrong(f"it writes {subject.usual.strays[0]!r} into the store")
    if subject.usual.working:
        raise Wrong(f"it writes {subject.usual.working[0]!r} into the folder that it is started in")


def logs_kept(subject: ExecutorSubject) -> None:
    """What a worker prints is kept where a user can find it."""
    if stand_in.SAYS not in subject.usual.logs:
        raise Wrong("what workers print is in no file of the request's folder")


def failing_worker(subject: ExecutorSubject) -> None:
    """A worker that fails as it starts is not started again and again, and not counted."""
    with subject.board(stand_in.FAILS) as board:
        fleet = subject.start(board.request(1))
        if not subject.wait(lambda: fleet.alive() in (0, None), subject.patience + subject.ending):
            fleet.stop(kill=True)
            raise Wrong(f"alive says {fleet.alive()!r} of a worker that has failed")


def strange_path(subject: ExecutorSubject) -> None:
    """The store may lie anywhere."""
    with subject.board(name=STRANGE) as board:
        fleet = subject.start(board.request(1))
        try:
            subject.wait_for_workers(board, 1)
            _expect_words(board.started()[0]["words"])
        finally:
            fleet.stop(kill=True)


def stop_gives_back(subject: ExecutorSubject) -> None:
    """`stop` lets workers give their jobs back."""
    _expect_given_back(subject.stopped, 2)


def _expect_given_back(seen: Stopped, count: int) -> None:
    if seen.ends != [stand_in.GAVE_BACK] * count:
        state = "ended without giving their jobs back" if seen.still else "did not end"
        raise Wrong(f"asked to stop, {count - len(seen.ends)} of {count} workers {state}")


def stop_returns_at_once(subject: ExecutorSubject) -> None:
    """`stop` does not wait for the workers."""
    if subject.stopped.waited:
        raise Wrong("stop returns only when the workers have ended")


def none_alive_after_stop(subject: ExecutorSubject) -> None:
    """`alive` falls to 0 after `stop`, too."""
    if subject.stopped.alive_after not in (0, None):
        raise Wrong(f"alive says {subject.stopped.alive_after!r} after workers were stopped")


def kills(subject: ExecutorSubject) -> None:
    """`stop(kill=True)` ends workers that do not listen, and stopping again is no error."""
    with subject.board(stand_in.DEAF) as board:
        fleet = subject.start(board.request(1))
        subject.wait_for_workers(board, 1)
        seen = subject.stop(board, fleet, kill=True)
        if not seen.still:
            raise Wrong("killed, a worker that hears no signal is still at work")
        if seen.alive_after not in (0, None):
            raise Wrong(f"alive says {seen.alive_after!r} after workers were killed")
        for kill in (False, True):
            try:
                fleet.stop(kill=kill)
            except Exception as error:
                raise Wrong(
                    f"stopping what has ended fails: {type(error).__name__}: {error}",
                    fix="let stop do nothing where nothing is left",
                ) from error


def outlives(subject: ExecutorSubject) -> None:
    """Workers work on when the process that started them is gone, and another process finds them."""
    if subject.declared.attach is None:
        raise NotApplicable("it declares no `attach`")
    with subject.board() as board:
        with subject.freeing(board, stand_in.OVER):
            _elsewhere(subject, "fleet", board)
        if not board.started() or board.still():
            raise Wrong("workers end with the process that started them")
        fleet = subject.attach(board.folder)
        if fleet.alive() not in (1, None):
            raise Wrong(f"another process finds {fleet.alive()!r} workers alive where 1 is at work")
        seen = subject.stop(board, fleet)
        try:
            _expect_given_back(seen, 1)
        except Wrong as error:
            raise Wrong(f"another process, which has attached: {error}") from error


def not_there(subject: ExecutorSubject) -> None:
    """Where no command of a scheduler is found, `start` says so in an error for users."""
    with subject.board() as board:
        found = _elsewhere(subject, "fleet_without_commands", board)
        if found["error"] is None:
            return
        if not found["user"]:
            raise Wrong(f"without any command on the PATH, start raises {found['error']}")
        if not found["fix"]:
            raise Wrong(f"the error names no fix: {found['error']}")


def _elsewhere(subject: ExecutorSubject, question: str, board: Any) -> dict[str, Any]:
    if subject.origin is None:
        raise NotApplicable("no plugin declares it")
    return ask(
        question,
        subject.origin,
        root=str(board.store.parent),
        options=dict(subject.options),
        patience=subject.patience,
        ending=subject.ending,
    )
