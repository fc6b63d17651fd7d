"""The folder of a claim: its owners one after the other, and how it ends.

It comes into being whole, with the first owner's owner.json. The next owner of an owner with token T is the
folder after-T in it, of which there can be only one; an owner that gives the claim back puts a file there
instead, and then nobody can follow any more. A folder with such an end, or without the first owner's file,
stays without an owner for ever: it is emptied, the first owner's file first and the end last, and removed.
All of this goes through the open folder: whatever takes its name meanwhile is not touched.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench_core.files.system import Kind, looking_again, moved, opened, system
from bench_core.store.owners import ClaimOwner, parse_owner, unknown_owner

OWNER, BEAT = "owner.json", "beat"
BEAT_BYTES = 20
RELEASED = b"released".ljust(BEAT_BYTES)
"""In place of a counter: the owner has given the claim up, and may be followed at once."""
_LARGEST = 65536
"""Bytes of an owner's file at most."""


@dataclass(frozen=True)
class Chain:
    """What a claim's folder said."""

    owners: tuple[ClaimOwner, ...]
    """In the order of their succession; empty where the folder has ended."""
    ended: bool

    @property
    def last(self) -> ClaimOwner | None:
        """Who holds the claim, dead or alive."""
        return self.owners[-1] if self.owners and not self.ended else None


def slot_after(token: str) -> str:
    """Return the name in a claim's folder that the next owner takes, or the end."""
    return f"after-{token}"


def claim_owner(claim: Path) -> ClaimOwner | None:
    """Return the last owner of a claim, or None if nobody holds it.

    A file of an owner that cannot be read counts as one of an unknown owner.
    """
    return _tried(lambda: _opened_chain(claim), claim.name).last


def read_chain(at: int, job: str) -> Chain:
    """Return the owners in an open claim's folder; what cannot be read is an unknown owner's."""
    return _tried(lambda: _read_chain(at, job), job)


def last_beat(claim: Path) -> float | None:
    """Return when the last owner of a claim beat, in seconds since 1970 by the file server's clock.

    For people: nothing is decided by it. None where that cannot be told.
    """
    with suppress(OSError), opened(claim) as at:
        if at is None:
            return None
        owners = _read_chain(at, claim.name).owners
        prefix = f"{slot_after(owners[-2].token)}/" if len(owners) > 1 else ""
        for name in (BEAT, OWNER):
            with suppress(FileNotFoundError):
                return system().changed(f"{prefix}{name}", at) / 1e9
    return None


def follows(at: int, slot: str, token: str) -> bool:
    """Say whether the owner of this slot ("" for the first) is the one with this token and the last."""

    def look() -> bool:
        names = system().names(at)
        if OWNER not in names or slot_after(token) in names or (slot and slot not in names):
            return False
        owner = _read_owner(at, slot, "", None)
        return owner is not None and owner.token == token

    return looking_again(look)


def end(own: int, chain: int, token: str) -> bool:
    """Let nobody follow an owner with this token any more; False if somebody has.

    `own` is its open folder, `chain` the open claim's. Its beat becomes the end, by one rename: that needs no
    space on a full disk.
    """
    try:
        return moved(BEAT, slot_after(token), own, chain)
    except FileNotFoundError:
        # An earlier try has moved it, and its answer was lost.
        return True


def clear(claim: Path, at: int) -> None:
    """Empty and remove a claim's folder if it has ended; never fails. Several may do it at once."""
    with suppress(OSError):
        if not read_chain(at, claim.name).ended:
            return
        _gone(lambda: system().unlink(OWNER, at))
        names = looking_again(lambda: system().names(at))
        for name in sorted(names, key=lambda name: (_is_end(name, names), name)):
            # The end must stay until nothing else is there.
            if names[name] == "folder":
                _gone(partial(system().remove, name, at))
            else:
                _gone(partial(system().unlink, name, at))
        # By its name, which another claim may have by now: that one is not empty.
        system().rmdir(claim)


def _is_end(name: str, names: Mapping[str, Kind]) -> bool:
    return names[name] == "file" and name.startswith("after-")


def _gone(remove: Callable[[], None]) -> None:
    with suppress(FileNotFoundError):
        looking_again(remove)


def _tried(look: Callable[[], Chain], job: str) -> Chain:
    try:
        return looking_again(look)
    except (FileNotFoundError, NotADirectoryError):
        return Chain((), ended=False)
    except OSError as error:
        return Chain((unknown_owner("", job, errno.errorcode.get(error.errno or 0, "")),), ended=False)


def _opened_chain(claim: Path) -> Chain:
    with opened(claim) as at:
        return Chain((), ended=False) if at is None else _read_chain(at, claim.name)


def _read_chain(at: int, job: str) -> Chain:
    names = system().names(at)
    if OWNER not in names:
        return Chain((), ended=True)
    owners: list[ClaimOwner] = []
    slot: str | None = ""
    while slot is not None:
        owner = _read_owner(at, slot, job, names)
        if owner is None or owner.token in {other.token for other in owners}:
            break
        owners.append(owner)
        slot = slot_after(owner.token)
        if names.get(slot) == "file":
            return Chain(tuple(owners), ended=True)
        slot = slot if slot in names else None
    return Chain(tuple(owners), ended=False)


def _read_owner(at: int, slot: str, job: str, names: Mapping[str, Kind] | None) -> ClaimOwner | None:
    """Return the owner whose file lies in a slot; None where there is no file and nothing else either."""
    prefix = f"{slot}/" if slot else ""
    try:
        content = system().read(f"{prefix}{OWNER}", _LARGEST, at)
    except FileNotFoundError:
        if not slot:
            return None
        inside = system().open_folder(slot, at)
        try:
            # A folder that holds something else stands in the way of an owner as an owner does.
            return unknown_owner(slot, job, "") if system().names(inside) else None
        finally:
            system().close(inside)
    except OSError as error:
        if error.errno in (errno.ESTALE, errno.EIO):
            raise
        return unknown_owner(slot, job, errno.errorcode.get(error.errno or 0, ""))
    sign = "" if names is None else _sign(at, prefix)
    try:
        return parse_owner(content, job, sign)
    except (ValueError, TypeError, KeyError, RecursionError):
        return unknown_owner(slot, job, sign)


def _sign(at: int, prefix: str) -> str:
    try:
        return system().read(f"{prefix}{BEAT}", BEAT_BYTES, at).decode("ascii", "replace")
    except FileNotFoundError:
        # Owners of before counters touch their file.
        with suppress(OSError):
            return str(system().changed(f"{prefix}{OWNER}", at))
        return ""
