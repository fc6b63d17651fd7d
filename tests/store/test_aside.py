"""A result is set aside by the owner of its claim alone, and only the one that was looked at."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench_core.processes import liveness
from bench_core.store.claim import Claim, ClaimLostError
from bench_core.store.sightings import Sightings
from bench_core.store.store import Store
from bench_core.store.taking import take_claim

DIGEST = "d" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results", create=True)
    write(made, b"first")
    return made


def write(store: Store, content: bytes) -> None:
    store.folder(DIGEST).mkdir(exist_ok=True)
    (store.folder(DIGEST) / "manifest.json").write_bytes(content)


def taken(store: Store) -> Claim:
    claim = take_claim(store.claims, DIGEST)
    assert claim is not None
    return claim


def kept(store: Store) -> dict[str, bytes]:
    return {path.name: (path / "manifest.json").read_bytes() for path in store.replaced.iterdir()}


def test_what_is_set_aside_is_kept_under_a_number(store: Store) -> None:
    for content in (b"first", b"second"):
        write(store, content)
        claim, seen = taken(store), store.seal_of(DIGEST)
        assert seen == content
        assert store.set_aside(claim, seen) is not None
        claim.release()
    assert kept(store) == {f"{DIGEST}-1": b"first", f"{DIGEST}-2": b"second"}
    assert not any((store.path / name).joinpath(DIGEST).exists() for name in ("jobs", "claims"))
    assert list(store.running.iterdir()) == []


def test_another_result_than_the_one_that_was_seen_stays(store: Store) -> None:
    claim, seen = taken(store), store.seal_of(DIGEST)
    write(store, b"second")
    assert seen == b"first" and store.set_aside(claim, seen) is None
    assert store.seal_of(DIGEST) == b"second" and kept(store) == {}


@pytest.mark.parametrize("tidy", [False, True])
def test_who_was_followed_moves_and_drops_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, tidy: bool
) -> None:
    former, seen = taken(store), store.seal_of(DIGEST)
    monkeypatch.setattr(liveness, "machine_identity", lambda: "another machine")
    monkeypatch.setattr(Sightings, "silence", lambda self, owner: math.inf)
    successor = taken(store)
    assert seen is not None and store.set_aside(successor, seen) is not None
    successor.release()
    worker = taken(store)
    folder = store.running / f"{DIGEST}.{worker.token}"
    (folder / "best.pt").write_bytes(b"epochs")
    write(store, b"first")
    if tidy:
        store.drop_left(former)
    else:
        with pytest.raises(ClaimLostError):
            store.set_aside(former, seen)
    assert store.seal_of(DIGEST) == b"first" and kept(store) == {f"{DIGEST}-1": b"first"}
    assert (folder / "best.pt").read_bytes() == b"epochs"


def test_a_result_that_was_being_set_aside_is_given_its_name(store: Store) -> None:
    way = store.replaced / f".{DIGEST}.token"
    way.mkdir(parents=True)
    store.folder(DIGEST).rename(way / "result")
    store.drop_left(taken(store))
    assert kept(store) == {f"{DIGEST}-1": b"first"}
