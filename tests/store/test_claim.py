from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench_core.errors import StoreError
from bench_core.files.system import FileSystem, using
from bench_core.processes.liveness import machine_identity, process_start
from bench_core.store.aside import bar_ways
from bench_core.store.chain import claim_owner
from bench_core.store.claim import Claim, ClaimLostError, release_all
from bench_core.store.files import write_json
from bench_core.store.running import open_place
from bench_core.store.sealing import seal
from bench_core.store.sightings import LOOKS_PER_LEASE, Sightings
from bench_core.store.taking import claiming, sweep, take_claim
from tests.helpers.silence import Watch

DIGEST = "d" * 32


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    folder = tmp_path / "claims"
    folder.mkdir()
    return folder


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def taken_once_silent(claims: Path, watch: Watch, lease: float = 120.0) -> Claim | None:
    """Look at a claim until its owner was silent for its lease, then take it over."""
    for _ in range(LOOKS_PER_LEASE):
        assert take_claim(claims, DIGEST) is None, "it may be alive"
        watch.wait(lease / LOOKS_PER_LEASE)
    return take_claim(claims, DIGEST)


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
    assert owner is not None and owner.pid == os.getpid() and Sightings().lives(owner)
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


def test_another_machine_is_dead_only_after_its_counter_stood_still_for_its_lease(
    claims: Path, watch: Watch
) -> None:
    leave_dead_claim(claims, machine="another machine", pid=os.getpid(), lease=40.0)
    beat = claims / DIGEST / "beat"
    for count in range(12):
        beat.write_text(f"{count:020d}")
        assert take_claim(claims, DIGEST) is None
        watch.wait(10.0)
    beat.write_text("its last")
    claim = taken_once_silent(claims, watch, lease=40.0)
    assert claim is not None
    assert [path.name for path in claims.iterdir()] == [DIGEST], "no probe is left"


def test_a_pause_of_the_observer_is_no_silence_of_the_owner(claims: Path, watch: Watch) -> None:
    leave_dead_claim(claims, machine="another machine")
    assert take_claim(claims, DIGEST) is None
    watch.wait(86400.0)
    assert take_claim(claims, DIGEST) is None


@pytest.mark.parametrize("hours", [-3, 3])
def test_no_time_of_another_machine_means_anything(claims: Path, watch: Watch, hours: int) -> None:
    """Neither of a file, nor of a clock: a live owner stays the owner, and a dead one is followed in time."""
    leave_dead_claim(claims, machine="another machine", started="2040-01-01T00:00:00+00:00")
    for path in (claims / DIGEST / "owner.json", claims / DIGEST):
        os.utime(path, (time.time() + hours * 3600, time.time() + hours * 3600))
    assert taken_once_silent(claims, watch) is not None


def test_an_owner_of_before_counters_lives_while_it_touches_its_file(claims: Path, watch: Watch) -> None:
    leave_dead_claim(claims, machine="another machine")
    for count in range(12):
        os.utime(claims / DIGEST / "owner.json", (count, count))
        assert take_claim(claims, DIGEST) is None
        watch.wait(30.0)
    os.utime(claims / DIGEST / "owner.json", (99, 99))
    assert taken_once_silent(claims, watch) is not None


def test_an_owner_that_its_caller_has_watched_is_followed_at_once(claims: Path, watch: Watch) -> None:
    leave_dead_claim(claims, machine="another machine")
    assert take_claim(claims, DIGEST, silent="someone") is None
    assert take_claim(claims, DIGEST, silent="dead") is not None


def test_whoever_has_watched_a_dead_owner_can_name_it(claims: Path, watch: Watch) -> None:
    leave_dead_claim(claims, machine="another machine")
    for _ in range(LOOKS_PER_LEASE):
        assert take_claim(claims, DIGEST) is None and watch.seen.silent(DIGEST) is None
        watch.wait(30.0)
    owner = claim_owner(claims / DIGEST)
    assert owner is not None and not watch.seen.lives(owner)
    assert watch.seen.silent(DIGEST) == "dead"


def test_the_counter_moves_in_the_owners_folder(claims: Path) -> None:
    with claiming(claims, DIGEST, heartbeat=0.01):
        beat = claims / DIGEST / "beat"
        deadline = time.monotonic() + 20
        while int(beat.read_text()) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert int(beat.read_text()) >= 3


def test_the_lease_is_the_owners(claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_LEASE_SECONDS", "7.5")
    claim = take_claim(claims, DIGEST)
    owner = claim_owner(claims / DIGEST)
    assert claim is not None and owner is not None and owner.lease == claim.lease == 7.5


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf", "1e9"])
def test_a_lease_that_is_no_number_of_seconds_is_refused(
    claims: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SEGTRIAL_LEASE_SECONDS", text)
    with pytest.raises(StoreError, match="SEGTRIAL_LEASE_SECONDS is not a number of seconds"):
        take_claim(claims, DIGEST)
    assert list(claims.iterdir()) == []


def test_an_owner_that_was_followed_notices(claims: Path, watch: Watch) -> None:
    claim = take_claim(claims, DIGEST)
    assert claim is not None
    claim.check()
    owner_file = claims / DIGEST / "owner.json"
    owner = json.loads(owner_file.read_text())
    owner_file.write_text(json.dumps({**owner, "machine": "another machine"}))
    successor = taken_once_silent(claims, watch)
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
    "a lease without end": json.dumps({**OWNER_FACTS, "lease": 1e300}).encode(),
    "control characters": json.dumps({**OWNER_FACTS, "host": "a\x1b[2J"}).encode(),
}


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED)
def test_an_owner_that_cannot_be_read_is_followed_once_it_is_silent(
    claims: Path, content: bytes, watch: Watch
) -> None:
    leave_dead_claim(claims)
    owner_file = claims / DIGEST / "owner.json"
    owner_file.write_bytes(content)
    claim = taken_once_silent(claims, watch)
    assert claim is not None and claim.held()
    claim.release()
    assert list(claims.iterdir()) == []


def test_owners_that_cannot_be_read_one_after_the_other(claims: Path, watch: Watch) -> None:
    leave_dead_claim(claims)
    for _ in range(4):
        for owner_file in claims.rglob("owner.json"):
            owner_file.write_bytes(b"")
        claim = taken_once_silent(claims, watch)
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
    claim = take_claim(claims, DIGEST)
    assert claim is not None and claim.held()
    claim.release()
    assert list(claims.iterdir()) == []


def test_a_process_that_proc_hides_is_judged_by_its_heartbeat(
    claims: Path, monkeypatch: pytest.MonkeyPatch, watch: Watch
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
        claim = taken_once_silent(claims, watch)
    assert claim is not None


def test_a_lost_owner_keeps_nobody_elses_claim_alive(claims: Path) -> None:
    """It counts on in its own file, whatever has taken the name of that file's folder."""
    claim = take_claim(claims, DIGEST)
    assert claim is not None
    (claims / DIGEST).rename(claims / "elsewhere")
    leave_dead_claim(claims, machine="another machine")
    beat = claims / DIGEST / "beat"
    beat.write_text("7")
    claim.beat()
    claim.release()
    assert beat.read_text() == "7" and not claim.held()
    owner = claim_owner(claims / DIGEST)
    assert owner is not None and owner.token == "dead"


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


class Counting(FileSystem):
    """Counts the operations of the file system."""

    def __init__(self) -> None:
        self.count = 0

    def __getattribute__(self, name: str) -> Any:
        if name in set(vars(FileSystem)) - {"__init__", "close", "pause"}:
            self.count += 1
        return super().__getattribute__(name)


def test_the_operations_of_a_claim_are_as_many_as_documented(tmp_path: Path, watch: Watch) -> None:
    """docs/executors.md says how many; a store with other jobs makes no difference."""
    claims = tmp_path / "claims"
    for number in range(50):
        (tmp_path / "jobs" / f"{number:032x}").mkdir(parents=True)
        (claims / f"{number:032x}").mkdir(parents=True)
    counted: dict[str, int] = {}

    @contextmanager
    def counting(what: str) -> Iterator[None]:
        system = Counting()
        with using(system):
            yield
        counted[what] = system.count

    running, jobs, replaced = tmp_path / "running", tmp_path / "jobs", tmp_path / "replaced"
    running.mkdir()
    with counting("take a free claim"):
        claim = take_claim(claims, DIGEST)
    assert claim is not None
    with counting("find a job claimed by another"):
        assert take_claim(claims, DIGEST) is None
    with counting("beat"):
        claim.beat()
    with counting("check that the claim is held"):
        claim.check()
    with counting("open the folder of a new job"):
        folder = open_place(running, claim)
        bar_ways(replaced, claim)
    write_json(folder / "manifest.json", {"files": {}})
    with counting("seal"):
        seal(running, jobs, DIGEST, claim)
    with counting("give the claim back"):
        claim.release()
    leave_dead_claim(claims, token="dead", machine="another machine")
    (running / f"{DIGEST}.dead").mkdir()
    with counting("follow a dead owner"):
        claim = take_claim(claims, DIGEST, silent="dead")
    assert claim is not None
    with counting("take an empty folder over"):
        open_place(running, claim)
        bar_ways(replaced, claim)
    text = (Path(__file__).parents[2] / "docs" / "executors.md").read_text()
    text = text[text.index("## The protocol on shared file systems") :]
    assert counted == {what: int(number) for what, number in re.findall(r"^\| (.+?) \| (\d+) \|", text, re.M)}
