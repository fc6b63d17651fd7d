"""Protocols that are wrong in one place: the checks must find each of them out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench_core.files.system import moved, opened, system
from bench_core.store import aside, chain, claim, running, sealing, sightings, taking
from bench_core.store.files import make_folder
from bench_core.store.store import Store

_SILENCE = sightings.Sightings.silence
SKEW_SECONDS = 7200.0
"""By which an observer's clock is ahead of the server's."""


def _at_the_servers_time(at: int, prefix: str) -> str:
    with suppress(FileNotFoundError):
        return str(system().changed(f"{prefix}{chain.BEAT}", at) / 1e9)
    return ""


def _silence_by_clock(self: sightings.Sightings, owner: Any) -> float:
    return self._clock() + SKEW_SECONDS - float(owner.sign or 0)


def _four_times(self: sightings.Sightings, owner: Any) -> float:
    return 4 * _SILENCE(self, owner)


def _place_of_anybody(folder: Path, digest: str, owner: Any) -> Path:
    with opened(folder) as at:
        names = [] if at is None else sorted(name for name in system().names(at) if name.startswith(digest))
    return folder / names[-1] if names else folder / digest


def _moved_on(target: Path) -> None:
    """Go on in the former owner's own folder."""
    left = target / ".left"
    with opened(left) as at:
        names = [] if at is None else sorted(system().names(at))
    beside = target.with_name(f".{target.name}.swapped")
    for name in names[:1]:
        moved(target, beside)
        moved(beside / ".left" / name, target)


def _cleared_by_name(place: Path, at: int) -> None:
    aside = place.with_name(f".{place.name}.released")
    with suppress(OSError):
        system().rename(place, aside)
        system().remove(aside)


def _aside_by_name(self: Store, owner: Any, seen: bytes) -> None:
    target = self.replaced / f"{owner.digest}-1"
    make_folder(self.replaced)
    moved(self.jobs / owner.digest, target)


def _remembered(jobs: Path, digest: str) -> bytes | None:
    with suppress(FileNotFoundError):
        return system().read(jobs / digest / "manifest.json", 2**20)
    return None


def _all_that_is_there(folder: Path, replaced: Path, owner: Any) -> None:
    with opened(folder) as at:
        names = [] if at is None else [name for name in system().names(at) if name.startswith(owner.digest)]
    for name in names:
        if not name.endswith(owner.token):
            running.discard(folder / name)


MUTANTS: dict[str, list[tuple[Any, str, Any]]] = {
    "a claim is not read back": [(claim.Claim, "held", lambda self: True)],
    "times are compared with the own clock": [
        (sightings.Sightings, "silence", _silence_by_clock),
        (chain, "_sign", _at_the_servers_time),
    ],
    "a quarter of the lease is enough": [(sightings.Sightings, "silence", _four_times)],
    "whatever lies there is sealed": [(sealing, "place_of", _place_of_anybody)],
    "the former owner's folder is worked on": [(running, "_take_out", _moved_on)],
    "a failure is recorded without a fence": [(sealing, "_committed", lambda source, target, owner: source)],
    "a claim is removed by its name": [(each, "clear", _cleared_by_name) for each in (claim, taking)],
    "a result is set aside by its name": [(Store, "set_aside", _aside_by_name)],
    "a result is set aside that was not looked at": [(aside, "seal_of", _remembered)],
    "earlier owners may set a result aside": [(aside, "bar_ways", lambda replaced, owner: None)],
    "all that is left is dropped": [(aside, "drop_left", _all_that_is_there)],
    "a claim is given back without an end": [(claim, "end", lambda own, at, token: True)],
}  # fmt: skip


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run the block with a wrong protocol."""
    with ExitStack() as stack:
        for target, attribute, new in MUTANTS[name]:
            stack.enter_context(patch.object(target, attribute, new))
        yield
