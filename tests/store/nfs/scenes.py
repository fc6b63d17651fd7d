"""Scenes in which an owner is stopped, followed, and wakes up at the worst moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.store.nfs.server import Change, way
from tests.store.nfs.stage import Stage
from tests.store.nfs.work import DIGEST
from tests.store.nfs.world import Actor, Part

MOST_OPERATIONS = 3000


def until(stage: Stage, actor: Actor, what: str, path: str) -> None:
    """Let a worker go on until it has made a change, of which the end of the path is given."""
    done: list[str] = []
    check = stage.server.before

    def see(change: Change) -> None:
        check(change)
        if stage.actor is actor and change.what == what:
            done.append("/".join([*reversed(list(way(change.node))), change.name]).rstrip("/"))

    stage.server.before = see
    try:
        for _ in range(MOST_OPERATIONS):
            stage.advance(actor, 1)
            if any(found.endswith(path) for found in done) or actor.ended:
                return
        raise AssertionError(f"{actor.name} never comes to {what} {path}: {done[-5:]}")
    finally:
        stage.server.before = check


def cast(stage: Stage, nature: str) -> tuple[Actor, Actor]:
    """Return an owner whose machine remembers names, and one whose machine does not."""
    first, second = stage.start(Part(nature), weak=False), stage.start(Part(), weak=False)
    stage.lag(second.machine, 0.0)
    return first, second


def a_claim_is_followed_while_it_is_given_back(stage: Stage) -> None:
    """The follower moves into a folder that is empty by now, and must not believe that it has the claim."""
    first, second = cast(stage, "interrupted")
    until(stage, first, "rename to", "trace.jsonl")
    until(stage, second, "write", "beat")
    until(stage, first, "unlink", "after-t1")
    stage.advance(second, 40)


def a_claim_is_given_back_by_two(stage: Stage) -> None:
    """The owner is stopped while it removes its claim; another has removed it and taken a new one since."""
    first, second = cast(stage, "interrupted")
    until(stage, first, "rename to", "after-t1")
    stage.server.now += 100
    until(stage, second, "rename to", f"claims/{DIGEST}")
    stage.advance(first, 100)
    stage.advance(second, 5)


def an_owner_is_stopped_before_it_begins(stage: Stage, later: int = 0) -> None:
    """Its folder is taken away before it has written anything; it must not make it again."""
    first, second = cast(stage, "fails")
    until(stage, first, "rename to", f"claims/{DIGEST}")
    stage.advance(first, 1 + later)
    until(stage, second, "rename to", "job.json")
    stage.advance(first, 500)


def an_owner_is_stopped_while_it_records_its_failure(stage: Stage) -> None:
    """It knows its folder by what its machine remembers, and its successor is at work."""
    first, second = cast(stage, "fails")
    until(stage, first, "rename to", ".failed-job.json.tmp")
    until(stage, second, "write", "job.json")
    stage.advance(first, 500)


def a_failure_is_recorded_after_its_owner_was_followed(stage: Stage) -> None:
    """Its folder has its last name already; what is not copied from there by now never is."""
    first, second = cast(stage, "fails")
    until(stage, first, "rename to", "t1-failed")
    until(stage, second, "write", "job.json")
    stage.advance(first, 500)


def an_owner_is_stopped_before_it_seals(stage: Stage, later: int = 0, lag: float = 60.0) -> None:
    """Its successor finds a complete folder, and one of the two seals it."""
    first, second = cast(stage, "")
    until(stage, first, "rename to", "t1/manifest.json")
    stage.advance(first, 1 + later)
    until(stage, second, "write", "manifest.json")
    stage.lag(first.machine, lag)
    stage.advance(first, 500)


def who_sets_a_result_aside_is_stopped(stage: Stage, later: int, lag: float = 60.0) -> None:
    """Its successor sets the old result aside and seals a new one, which must stay."""
    first, second = cast(stage, "")
    until(stage, first, "rename to", f"claims/{DIGEST}")
    stage.advance(first, later)
    stage.lag(first.machine, lag)
    until(stage, second, "rename to", f"jobs/{DIGEST}")
    stage.advance(first, 500)


def an_old_result_is_remembered(stage: Stage, later: int) -> None:
    """While an observer looks at it, another one sets it aside, computes it anew and leaves."""
    first, second = cast(stage, "")
    stage.advance(first, later)
    stage.advance(second, MOST_OPERATIONS)
    stage.advance(first, 500)


SCENES: tuple[Callable[[Stage], None], ...] = (
    a_claim_is_followed_while_it_is_given_back,
    a_claim_is_given_back_by_two,
    *(partial(an_owner_is_stopped_before_it_begins, later=count) for count in range(10)),
    an_owner_is_stopped_while_it_records_its_failure,
    a_failure_is_recorded_after_its_owner_was_followed,
    *(partial(an_owner_is_stopped_before_it_seals, later=count) for count in range(10)),
    *(partial(an_owner_is_stopped_before_it_seals, later=count, lag=0.0) for count in range(10)),
)


RENEWALS: tuple[Callable[[Stage], None], ...] = (
    *(partial(who_sets_a_result_aside_is_stopped, later=count) for count in range(40)),
    *(partial(who_sets_a_result_aside_is_stopped, later=count, lag=0.0) for count in range(40)),
    *(partial(an_old_result_is_remembered, later=count) for count in range(12)),
)
"""Scenes that begin with a result from before, which is to be set aside."""


def played(scene: Callable[[Stage], None]) -> list[str]:
    """Return what a scene breaks."""
    stage = Stage(old=scene in RENEWALS)
    try:
        scene(stage)
    finally:
        stage.close()
    return stage.truth.errors
