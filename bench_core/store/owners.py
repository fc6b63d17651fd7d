"""Owners of claims: what their file says, and whether they live."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from typing import Any

from bench_core.errors import StoreError
from bench_core.processes import liveness

LEASE_VARIABLE = "SEGTRIAL_LEASE_SECONDS"
LEASE_SECONDS = 120.0
"""How long an owner may be silent before it counts as dead, unless its claim says otherwise."""
_MOST_LEASE_SECONDS = 86400.0
UNREADABLE = "unreadable"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class ClaimOwner:
    """Who holds a claim."""

    host: str
    """Host name, for people."""
    machine: str
    """Tells whether process ids can be compared: boot and process namespace."""
    pid: int
    process_start: str
    """Start time of the process as the system counts it, so that a reused id is not taken for it."""
    started: str
    """UTC, ISO 8601."""
    token: str
    lease: float = LEASE_SECONDS
    """Seconds of silence after which it counts as dead where its process cannot be looked up."""
    job: str = ""
    """Digest of the job; not stored."""
    sign: str = ""
    """Its last sign of life: only whether it differs from an earlier one means anything; not stored."""

    @property
    def running(self) -> bool | None:
        """Whether its process runs; None where that cannot be told from here."""
        if self.machine != liveness.machine_identity():
            return None
        return liveness.is_running(self.pid, self.process_start)

    @property
    def released(self) -> bool:
        """Whether it says itself that it has given the claim up."""
        return self.sign.startswith("released")

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        names = ("host", "machine", "pid", "process_start", "started", "token", "lease")
        return {name: getattr(self, name) for name in names}


def lease_seconds() -> float:
    """Return the lease of claims taken by this process.

    Raises StoreError if the environment variable SEGTRIAL_LEASE_SECONDS is not a number of seconds.
    """
    text = os.environ.get(LEASE_VARIABLE)
    if text is None:
        return LEASE_SECONDS
    try:
        lease = float(text)
    except ValueError:
        lease = math.nan
    if not 0 < lease <= _MOST_LEASE_SECONDS:
        raise StoreError(
            f"{LEASE_VARIABLE} is not a number of seconds",
            cause=f"it is {text!r}; more than 0 and at most {_MOST_LEASE_SECONDS:g} are possible",
            fix=f"unset {LEASE_VARIABLE}",
        )
    return lease


def parse_owner(content: bytes, job: str, sign: str) -> ClaimOwner:
    """Return the owner whose file this is; ValueError, KeyError, TypeError or RecursionError for any other.

    Files of before leases and counters are read, too: their owners have the usual lease.
    """
    data = json.loads(content)
    texts = {
        name: _plain(data[name], name) for name in ("host", "machine", "process_start", "started", "token")
    }
    pid = data["pid"]
    if not isinstance(pid, int) or not 0 < pid < 2**31 or not _TOKEN.fullmatch(texts["token"]):
        raise ValueError("not an owner")
    lease = data.get("lease", LEASE_SECONDS)
    if isinstance(lease, bool) or not isinstance(lease, (int, float)) or not 0 < lease <= _MOST_LEASE_SECONDS:
        raise ValueError("a lease without bounds")
    return ClaimOwner(**texts, pid=pid, lease=float(lease), job=job, sign=sign)


def unknown_owner(slot: str, job: str, sign: str) -> ClaimOwner:
    """Return an owner of whom nothing is known; its name tells its place in the succession."""
    # Two of them must not have one name.
    token = UNREADABLE
    if slot:
        token = f"{UNREADABLE}-{hashlib.sha256(slot.encode()).hexdigest()[:32]}"
    return ClaimOwner(
        host="an unknown host", machine="", pid=0, process_start="", started="an unknown time", token=token,
        job=job, sign=sign,
    )  # fmt: skip


def _plain(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
        raise ValueError(f"{name} is not a line of text")
    return value
