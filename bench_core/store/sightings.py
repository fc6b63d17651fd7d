"""What one process has seen of the owners of other machines: whether their counters move, by its own clock.

No time of another machine is compared with anything. An owner counts as dead after its whole lease of
silence, and that silence must have been looked at several times: a pause of the observer, or of the file
server, is no silence of the owner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench_core.store.owners import ClaimOwner

LOOKS_PER_LEASE = 4
"""Between two looks at most this part of a lease counts as silence."""


@dataclass
class _Seen:
    token: str
    sign: str
    silence: float
    """Seconds."""
    looked: float
    lease: float


class Sightings:
    """The owners that this process has looked at; `clock` counts seconds of this process alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        """The last owner of each job's claim."""

    def silence(self, owner: ClaimOwner) -> float:
        """Return for how many seconds this process has seen the owner's counter stand still; counts a look.

        0 at the first look.
        """
        now, seen = self._clock(), self._seen.get(owner.job)
        if seen is None or (seen.token, seen.sign) != (owner.token, owner.sign):
            self._seen[owner.job] = _Seen(owner.token, owner.sign, 0.0, now, owner.lease)
            return 0.0
        seen.silence += min(now - seen.looked, owner.lease / LOOKS_PER_LEASE)
        seen.looked = now
        return seen.silence

    def lives(self, owner: ClaimOwner) -> bool:
        """Say whether the owner lives: by its process where that can be looked up, else by its counter."""
        running = False if owner.released else owner.running
        return self.silence(owner) < owner.lease if running is None else running

    def silent(self, job: str) -> str | None:
        """Return the token of a job's last owner if it was silent for its lease; reads nothing."""
        seen = self._seen.get(job)
        return seen.token if seen is not None and seen.silence >= seen.lease else None


_OURS = Sightings()


def ours() -> Sightings:
    """Return the sightings of this process."""
    return _OURS
