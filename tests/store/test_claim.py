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

from bench_core.processes.liveness import machine_identity, process_start
from bench_core.store.claim import (
    ClaimLostError,
    claim_owner,
    claiming,
    release_all,
    sweep,
    take_claim,
)

DIGEST = "d" * 32


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    return folder


OWNER_FACTS = {
    "host": "here",
    "machine": "m",
    "pid": 1,
    "process_start": "1",
    "started": "2026-01-01T00:00:00+00:00",
    "token": "dead",
}


def leave_dead_claim(claims: Path, **changes: Any) -> dict[str, Any]:
    """Write the claim of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = {**OWNER_FACTS, "machine": machine_identity(), "pid": ended.pid, **changes}
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


GARBLED = {
    "empty": b"",
    "cut off": b'{"host": "here"',
    "a list": b"[]",
    "not text": b"\xff\xfe\x00",
    "deep": b"[" * 60_000,
    "wrong types": json.dumps({**OWNER_FACTS, "pid": "1"}).encode(),
    "no process id": json.dumps({**OWNER_FACTS, "pid": -1}).encode(),
    "a path for a token": json.dumps({**OWNER_FACTS, "token": "../../x"}).encode(),
    "control characters": json.dumps({**OWNER_FACTS, "host": "a\x1b[2J"}).encode(),
}


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED)
def test_an_owner_that_cannot_be_read_is_followed_once_it_is_silent(claims: Path, content: bytes) -> None:
    leave_dead_claim(claims)
    owner_file = claims / DIGEST / "owner.json"
    owner_file.write_bytes(content)
    assert take_claim(claims, DIGEST) is None, "it may be alive"
    os.utime(owner_file, (0, 0))
    claim = take_claim(claims, DIGEST)
    assert claim is not None and claim.held()
    claim.release()
    assert list(claims.iterdir()) == []


def test_owners_that_cannot_be_read_one_after_the_other(claims: Path) -> None:
    leave_dead_claim(claims)
    for _ in range(4):
        for owner_file in claims.rglob("owner.json"):
            owner_file.write_bytes(b"")
            os.utime(owner_file, (0, 0))
        claim = take_claim(claims, DIGEST)
        assert claim is not None and claim.held()
    claim.release()
    assert list(claims.iterdir()) == []


def test_a_succession_in_a_circle_ends(claims: Path) -> None:
    dead = leave_dead_claim(claims)
    (claims / DIGEST / "after-dead").mkdir()
    (claims / DIGEST / "after-dead" / "owner.json").write_text(json.dumps(dead))
    owner = claim_owner(claims / DIGEST)
    assert owner is not None and owner.token == "dead"
    assert take_claim(claims, DIGEST) is None


def test_a_stray_file_in_a_released_claims_folder_stops_nothing(claims: Path) -> None:
    (claims / DIGEST).mkdir()
    (claims / DIGEST / ".DS_Store").write_bytes(b"x")
    os.utime(claims / DIGEST, (0, 0))
    claim = take_claim(claims, DIGEST)
    assert claim is not None and claim.held()
    claim.release()
    assert list(claims.iterdir()) == []


def test_a_process_that_proc_hides_is_judged_by_its_heartbeat(
    claims: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for another user where /proc is mounted with hidepid=2: no file, but a signal is not permitted."""
    leave_dead_claim(claims, pid=os.getpid(), process_start="7")
    original = Path.read_text

    def hidden(self: Path, *arguments: Any, **options: Any) -> str:
        if self == Path(f"/proc/{os.getpid()}/stat"):
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return original(self, *arguments, **options)

    def forbidden(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", hidden)
        patch.setattr(os, "kill", forbidden)
        assert take_claim(claims, DIGEST) is None
        os.utime(claims / DIGEST / "owner.json", (0, 0))
        claim = take_claim(claims, DIGEST)
    assert claim is not None


def test_a_clock_that_is_hours_ahead_of_the_file_server_ousts_nobody(
    claims: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_dead_claim(claims, machine="another machine")
    ahead = time.time() + 7200
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert take_claim(claims, DIGEST) is None


def test_a_lost_owner_keeps_nobody_elses_claim_alive(claims: Path) -> None:
    claim = take_claim(claims, DIGEST)
    assert claim is not None
    claim.beat_every(0.01)
    owner_file = claims / DIGEST / "owner.json"
    owner_file.write_text(json.dumps({**OWNER_FACTS, "token": "another"}))
    beating = claim._thread
    assert beating is not None
    beating.join(timeout=20)
    assert not beating.is_alive()


def test_a_forked_child_gives_nothing_back(claims: Path) -> None:
    claim = take_claim(claims, DIGEST)
    assert claim is not None
    child = os.fork()
    if child == 0:
        release_all()
        os._exit(0)
    os.waitpid(child, 0)
    assert claim.held()
    release_all()
    assert list(claims.iterdir()) == []


def test_leftovers_are_swept_and_claims_stay(claims: Path) -> None:
    claim = take_claim(claims, DIGEST)
    old, fresh = f".{DIGEST}.old", f".{DIGEST}.fresh"
    for name in (old, fresh, ".DS_Store"):
        (claims / name).mkdir()
    for path in (claims / old, claims / DIGEST, claims / ".DS_Store"):
        os.utime(path, (0, 0))
    sweep(claims, older_than=3600)
    assert {path.name for path in claims.iterdir()} == {DIGEST, fresh, ".DS_Store"}
    assert claim is not None and claim.held()


def _race(claims: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    claim = take_claim(claims, DIGEST)
    results.put((os.getpid(), claim is not None))
    barrier.wait()  # Nobody ends before all have tried: a winner that is gone would be followed, rightly.


@pytest.mark.parametrize("orphaned", [pytest.param(False, marks=pytest.mark.slow), True])
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
