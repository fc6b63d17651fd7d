"""What each job of a store is at: told from names and claims, without opening a result."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from typing import Literal

from bench_core.errors import StoreError
from bench_core.files.clock import now_in
from bench_core.files.system import is_folder, kind_of
from bench_core.store import sightings
from bench_core.store.chain import claim_owner, last_beat
from bench_core.store.owners import ClaimOwner
from bench_core.store.running import digest_of
from bench_core.store.sealing import FAILURE

State = Literal["done", "running", "failed", "todo"]


class States:
    """Reads the store's folders of sealed jobs, claims and failures; they may be missing."""

    def __init__(self, jobs: Path, claims: Path, failed: Path) -> None:
        self._jobs, self._claims, self._failed = jobs, claims, failed

    def all(self) -> dict[str, State]:
        """Return the state of every job, by digest."""
        table: dict[str, State] = {
            digest: "failed" for digest in job_names(self._failed) if self._has_failed(digest)
        }
        for digest in job_names(self._claims):
            owner = claim_owner(self._claims / digest)
            if owner is not None and sightings.ours().lives(owner):
                table[digest] = "running"
        table.update(dict.fromkeys(job_names(self._jobs), "done"))
        return table

    def survey(self) -> dict[str, State]:
        """Return the state of every job from three listings; "running" is also one whose owner has died."""
        table: dict[str, State] = dict.fromkeys(job_names(self._failed), "failed")
        # In this order: a job that is sealed meanwhile is found at least once.
        table.update(dict.fromkeys(job_names(self._claims), "running"))
        table.update(dict.fromkeys(job_names(self._jobs), "done"))
        return table

    def of(self, digest: str) -> State:
        """Return the state of one job; a job whose process has died is still to do."""
        if self.is_done(digest):
            return "done"
        owner = self.owner(digest)
        if owner is not None and sightings.ours().lives(owner):
            return "running"
        return "failed" if self._has_failed(digest) else "todo"

    def is_done(self, digest: str) -> bool:
        """Say whether a job is sealed."""
        return is_folder(self._jobs / digest)

    def owner(self, digest: str) -> ClaimOwner | None:
        """Return who holds the job's claim, dead or alive."""
        return claim_owner(self._claims / digest)

    def silence(self, digest: str) -> float | None:
        """Return for how many seconds the owner of a job's claim gave no sign of life, by the server's clock.

        For people: whether an owner of another machine lives is decided by watching it. None if unknown.
        """
        beat = last_beat(self._claims / digest)
        return None if beat is None else max(0.0, now_in(self._claims) - beat)

    def _has_failed(self, digest: str) -> bool:
        return kind_of(self._failed / digest / FAILURE) is not None


def job_names(folder: Path) -> list[str]:
    """Return the digests of the folders inside; what else lies there (Thumbs.db, a backup) is not a job."""
    try:
        with os.scandir(folder) as entries:
            found = [digest_of(entry.name) for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
    return list(dict.fromkeys(digest for digest in found if digest is not None))


def unreadable(folder: Path, error: OSError) -> StoreError:
    """Return what to tell of a folder of the store that cannot be listed: nobody knows what is in it."""
    own = f"chmod -R u+rwX {shlex.quote(str(folder))}"
    fix = {
        errno.EACCES: f"ask its owner to let you read it, or, if that is you: {own}",
        errno.ENOTDIR: "move that file away: a folder is needed there",
    }.get(error.errno or 0, "run the same command again when its file system answers")
    return StoreError("cannot read the store", place=str(folder), cause=str(error.strerror), fix=fix)
