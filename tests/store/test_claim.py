from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench_core.errors import StoreError
from bench_core.store.claim import (
    ClaimLostError,
    claim_owner,
    claiming,
    machine_identity,
    process_start,
    sweep,
    take_claim,
)

DIGEST = "d" * 32


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    return folder


def leave_dead_claim(claims: Path, **changes: Any) -> dict[str, Any]:
    """Write the claim of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = {
        "host": "here",
        "machine": machine_identity(),
        "pid": ended.pid,
        "process_start": "1",
        "started": "2026-01-01T00:00:00+00:00",
        "token": "dead",
        **changes,
    }
    (claims / DIGEST).mkdir()
    (claims / DIGEST / "owner.json").write_text(json.dumps(owner))
    return owner


def test_a_claim_is_held_by_one_and_free_after_release(claims: Path) -> None:
    first = take_claim(claims, DIGEST)
    assert first is not None and first.held()
    assert take_claim(claims, DIGEST) is None
    owner = claim_owner(claims / DIGEST)
    assert owner is not None and owner.pid == os.getpid() and owner.alive(claims)
    first.release()
    assert list(claims.iterdir()) == []
    with claiming(claims, DIGEST) as second:
        assert second is not None
    assert list(claims.iterdir()) == []


def test_an_error_inside_releases_the_claim(claims: Path) -> None:
    with pytest.raises(ZeroDivisionError), claiming(claims, DIGEST) as claim:
        assert claim is not None
        raise ZeroDivisionError
    assert claim_owner(claims / DIGEST) is None


def test_a_dead_process_is_followed(claims: Path) -> None:
    leave_dead_claim(claims)
    claim = take_claim(claims, DIGEST)
    assert claim is not None and claim.before is not None and claim.before.token == "dead"
    assert take_claim(claims, DIGEST) is None
    claim.release()
    assert list(claims.iterdir()) == []


def test_a_reused_process_id_is_not_taken_for_the_owner(claims: Path) -> None:
    leave_dead_claim(claims, pid=os.getpid(), process_start="1")
    assert process_start(os.getpid()) not in (None, "1")
    assert take_claim(claims, DIGEST) is not None


def test_another_machine_is_dead_only_after_its_heartbeat_stops(claims: Path) -> None:
    leave_dead_claim(claims, machine="another machine", pid=os.getpid())
    assert take_claim(claims, DIGEST, dead_after=100) is None
    owner_file = claims / DIGEST / "owner.json"
    long_ago = time.time() - 1000
    os.utime(owner_file, (long_ago, long_ago))
    claim = take_claim(claims, DIGEST, dead_after=100)
    assert claim is not None
    assert [path.name for path in claims.iterdir()] == [DIGEST], "no probe is left"


def test_the_heartbeat_touches_the_owners_file(claims: Path) -> None:
    with claiming(claims, DIGEST, heartbeat=0.01):
        owner_file = claims / DIGEST / "owner.json"
        os.utime(owner_file, (0, 0))
        deadline = time.monotonic() + 20
        while owner_file.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert owner_file.stat().st_mtime > 0


def test_an_owner_that_was_followed_notices(claims: Path) -> None:
    claim = take_claim(claims, DIGEST)
    assert claim is not None
    claim.check()
    owner_file = claims / DIGEST / "owner.json"
    owner = json.loads(owner_file.read_text())
    owner_file.write_text(json.dumps({**owner, "machine": "another machine"}))
    os.utime(owner_file, (0, 0))
    successor = take_claim(claims, DIGEST)
    assert successor is not None
    with pytest.raises(ClaimLostError, match="taken this job over"):
        claim.check()
    claim.release()
    assert successor.held(), "the old owner's release leaves the successor alone"


def test_a_latecomer_cannot_oust_a_live_successor(claims: Path) -> None:
    """A process that judged the old owner dead, and is slow to act, finds someone else in its place."""
    dead = leave_dead_claim(claims)
    quick = take_claim(claims, DIGEST)
    assert quick is not None
    late = claims / ".late"
    late.mkdir()
    (late / "owner.json").write_text(json.dumps({**dead, "token": "late", "pid": 1}))
    with pytest.raises(OSError):
        late.rename(claims / DIGEST / "after-dead")
    quick.release()
    fresh = take_claim(claims, DIGEST)
    assert fresh is not None
    late.rename(claims / DIGEST / "after-dead")
    assert fresh.held(), "nobody follows a name that is not in the chain"


def test_a_garbled_owner_is_a_clear_error(claims: Path) -> None:
    leave_dead_claim(claims)
    (claims / DIGEST / "owner.json").write_text("{")
    with pytest.raises(StoreError, match="damaged") as caught:
        take_claim(claims, DIGEST)
    assert "rm -r" in str(caught.value.fix)


def test_leftovers_are_swept_and_claims_stay(claims: Path) -> None:
    claim = take_claim(claims, DIGEST)
    for name in (".half made", ".fresh"):
        (claims / name).mkdir()
    for path in (claims / ".half made", claims / DIGEST):
        os.utime(path, (0, 0))
    sweep(claims, older_than=3600)
    assert {path.name for path in claims.iterdir()} == {DIGEST, ".fresh"}
    assert claim is not None and claim.held()


def _race(claims: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    claim = take_claim(claims, DIGEST)
    results.put((os.getpid(), claim is not None))
    barrier.wait()  # Nobody ends before all have tried: a winner that is gone would be followed, rightly.


@pytest.mark.parametrize("orphaned", [False, True])
def test_of_many_processes_one_wins(claims: Path, orphaned: bool) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        if orphaned:
            leave_dead_claim(claims)
        barrier, results = context.Barrier(8), context.Queue()
        racers = [context.Process(target=_race, args=(claims, barrier, results)) for _ in range(8)]
        for racer in racers:
            racer.start()
        won = [results.get(timeout=60)[1] for _ in racers]
        for racer in racers:
            racer.join()
        assert sum(won) == 1
        winner = take_claim(claims, DIGEST)
        assert winner is not None, "the winner has ended and is followed"
        winner.release()
