"""Training state between epochs: two generations on disk with checksums, so that one is always whole."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bench_core.errors import WeightsError
from bench_core.files.bounded import open_regular
from bench_core.files.hashes import sha256_of
from bench_core.processes.unbroken import unbroken
from bench_core.store.files import flush_folder, replacing, storing
from bench_core.store.folder import BEST

log = logging.getLogger(__name__)
STATE_FORMAT = 1
_SLOTS = ("state-0.pt", "state-1.pt")
_MAGIC = b"segtrial-state\n"


@dataclass(frozen=True)
class _Slot:
    """What a state file's footer says."""

    path: Path
    generation: int
    length: int
    """Bytes of the state, from the file's start."""
    sha256: str
    best: str | None
    """Name of the file with the best epoch's weights at that time."""
    best_sha256: str | None


class FolderKeeper:
    """Keeps a job's training state in its folder (see bench_core.protocol.contract.StateKeeper).

    `check` is called before each write and raises if the job belongs to someone else by now. A damaged
    state falls back to the one before, and a job without any whole state starts from zero: nothing that
    another job has finished is touched. Raises StoreError when the disk is full or not writable.
    """

    def __init__(self, folder: Path, check: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self._check = check
        self._current: _Slot | None = None
        self._best: str | None = None
        self._best_sha256: str | None = None

    def load(self) -> dict[str, Any] | None:
        """Return the newest whole state, or None if the job must start from zero."""
        from bench_core.weights.load import load_bounded

        present = [path for name in _SLOTS if (path := self.folder / name).exists()]
        for slot in sorted(filter(None, map(_footer, present)), key=lambda slot: -slot.generation):
            content = self._whole(slot)
            if content is None:
                continue
            try:
                state = load_bounded(io.BytesIO(content))
            except Exception as error:
                log.warning("cannot read %s (%s)", slot.path, error)
                continue
            self._current, self._best = slot, slot.best
            log.info("resuming from %s", slot.path.name)
            return cast(dict[str, Any], state)
        if present:
            log.warning(
                "no whole training state in %s (%s damaged): this job starts from zero, others are untouched",
                self.folder,
                ", ".join(path.name for path in present),
            )
        self._current, self._best, self._best_sha256 = None, None, None
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the older of the two generations; the newer one stays until this one is safe."""
        with unbroken():
            self._save(state)

    def _save(self, state: dict[str, Any]) -> None:
        import torch

        self._check()
        generation = 0 if self._current is None else self._current.generation + 1
        path = self.folder / _SLOTS[generation % 2]
        with replacing(path) as file:
            writer = _HashingWriter(file)
            torch.save(state, cast(IO[bytes], writer))
            writer.check()
            footer = {
                "format": STATE_FORMAT,
                "generation": generation,
                "length": writer.length,
                "sha256": writer.sha256.hexdigest(),
                "best": self._best,
                "best_sha256": self._best_sha256,
            }
            text = json.dumps(footer).encode()
            file.write(text + len(text).to_bytes(8, "big") + _MAGIC)
        previous, self._current = self._current, _footer(path)
        self._drop_best_but({self._best, previous.best if previous else None})

    def save_best(self, weights: dict[str, Any]) -> None:
        """Keep the best weights so far, in a file that the next `save` refers to."""
        import torch

        self._check()
        number = 0 if self._best is None else int(self._best[5:-3]) + 1
        name = f"best-{number}.pt"
        with replacing(self.folder / name) as file:
            writer = _HashingWriter(file)
            torch.save(weights, cast(IO[bytes], writer))
            writer.check()
        self._best, self._best_sha256 = name, writer.sha256.hexdigest()

    def load_best(self) -> dict[str, Any]:
        """Return the weights of the best epoch; raises WeightsError if they are missing or damaged."""
        from bench_core.weights.load import load_bounded

        path = self.folder / (self._best or BEST)
        try:
            with open_regular(path) as file:
                state = load_bounded(file)
        except Exception as error:
            raise WeightsError(
                "the best epoch's weights cannot be read",
                place=str(path),
                cause=str(error).splitlines()[0] if str(error) else type(error).__name__,
                fix=f"rm -r {shlex.quote(str(self.folder))}, then `bench run` trains this job again",
            ) from error
        return cast(dict[str, Any], state)

    def finish(self) -> str | None:
        """Give the best weights their final name and return it; None if none were saved."""
        if self._best is None:
            return BEST if (self.folder / BEST).exists() else None
        with unbroken(), storing(self.folder):
            target = self.folder / BEST
            target.unlink(missing_ok=True)
            # A link and not a rename: until the job is sealed, its states still refer to the old name.
            try:
                os.link(self.folder / self._best, target)
            except OSError:
                target.write_bytes((self.folder / self._best).read_bytes())
            flush_folder(self.folder)
        return BEST

    def _whole(self, slot: _Slot) -> bytes | None:
        content = slot.path.read_bytes()[: slot.length]
        if len(content) != slot.length or hashlib.sha256(content).hexdigest() != slot.sha256:
            log.warning("%s is damaged: its checksum does not fit", slot.path)
            return None
        if slot.best is not None:
            best = self.folder / slot.best
            if not best.exists() or sha256_of(best) != slot.best_sha256:
                log.warning("%s belongs to %s and is damaged or missing", best, slot.path.name)
                return None
            self._best_sha256 = slot.best_sha256
        return content

    def _drop_best_but(self, keep: set[str | None]) -> None:
        with storing(self.folder):
            for path in self.folder.glob("best-*.pt"):
                if path.name not in keep:
                    path.unlink(missing_ok=True)


class _HashingWriter:
    """A file that hashes what passes through, so that a large state is neither copied nor read again.

    torch.save ends the process when a write fails midway; so errors are kept until `check` raises them.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.length = 0
        self._error: OSError | None = None

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        self.length += len(content)
        if self._error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self._error = error
        return len(content)

    def flush(self) -> None:
        """Do nothing: the file is flushed to disk before it is renamed."""

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def _footer(path: Path) -> _Slot | None:
    """Read a state file's footer; None (and a line in the log) if it is cut off or garbled."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            tail = len(_MAGIC) + 8
            file.seek(max(0, size - tail))
            end = file.read()
            if len(end) != tail or end[8:] != _MAGIC:
                raise ValueError("the end is missing")
            length = int.from_bytes(end[:8], "big")
            if length > size - tail:
                raise ValueError("the footer is garbled")
            file.seek(size - tail - length)
            facts = json.loads(file.read(length))
        if facts["format"] != STATE_FORMAT:
            raise ValueError(f"unknown format {facts['format']}")
        return _Slot(
            path,
            int(facts["generation"]),
            int(facts["length"]),
            facts["sha256"],
            facts["best"],
            facts["best_sha256"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged: %s", path, error)
        return None
