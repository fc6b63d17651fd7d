"""How often a job was started, when, and in which environment: kept beside its state and sealed with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_core.errors import StoreError
from bench_core.execute.provenance import environment
from bench_core.store.files import read_json, write_json
from bench_core.store.folder import LOG
from bench_core.store.result import Failure


@dataclass(frozen=True)
class Finished:
    """All attempts of a finished job."""

    seconds: float
    """Wall time of all of them; of one that was killed until its last line in the log."""
    started: str
    """Of the first, UTC."""
    finished: str
    environments: int
    """How many different environments (versions, hardware, device, threads) took part."""


class Attempts:
    """The attempts of one running job, in its folder."""

    name = "attempts.json"

    def __init__(self, folder: Path) -> None:
        self._path = folder / self.name
        self._log = folder / LOG
        self._entries: list[dict[str, Any]] = self._read()

    @property
    def count(self) -> int:
        """Return how many attempts there were."""
        return len(self._entries)

    def begin(self, execution: dict[str, Any], epochs: int = 0, after: Failure | None = None) -> None:
        """Add an attempt; the one before, if it was killed, ended with its last line in the log.

        `epochs` are kept from before, `after` is the failure that the attempt follows.
        """
        started = datetime.now(UTC)
        self._entries.append(
            {
                "started": started.isoformat(timespec="milliseconds"),
                "seconds": None,
                "epochs": epochs,
                "after": _mark(after),
                "environment": {**environment(), **execution},
            }
        )
        self._write()

    def died(self) -> None:
        """Note that the last attempt ended with the death of its worker or the loss of its machine."""
        if self._entries:
            self._entries[-1]["died"] = True
            self._write()

    def deaths(self, epochs: int, after: Failure | None = None) -> int:
        """Return how many attempts have died since there are `epochs`, of those that follow one failure."""
        return sum(
            entry.get("died") is True and entry.get("epochs") == epochs and entry.get("after") == _mark(after)
            for entry in self._entries
        )

    def stand_on(self, basis: Mapping[str, str]) -> dict[str, str] | None:
        """Note what this attempt stands on; return what the one before it stood on, if there was one."""
        before = [entry["basis"] for entry in self._entries[:-1] if "basis" in entry]
        self._entries[-1]["basis"] = dict(basis)
        self._write()
        return before[-1] if before else None

    def finish(self, seconds: float) -> Finished:
        """Close the last attempt after `seconds` and return what all of them took."""
        self._entries[-1]["seconds"] = round(seconds, 3)
        self._write()
        environments = {json.dumps(entry["environment"], sort_keys=True) for entry in self._entries}
        return Finished(
            seconds=sum(entry["seconds"] or 0.0 for entry in self._entries),
            started=self._entries[0]["started"],
            finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
            environments=len(environments),
        )

    def _read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        try:
            entries: list[dict[str, Any]] = read_json(self._path, "")
            started = [datetime.fromisoformat(entry["started"]) for entry in entries]
        except (StoreError, ValueError, KeyError, TypeError):
            return []  # Only times are lost; the training state has checksums of its own.
        if entries and entries[-1]["seconds"] is None and self._log.exists():
            spent = self._log.stat().st_mtime - started[-1].timestamp()
            entries[-1]["seconds"] = round(max(0.0, spent), 3)
        return entries

    def _write(self) -> None:
        write_json(self._path, self._entries)


def _mark(failure: Failure | None) -> str:
    return "" if failure is None else failure.time
