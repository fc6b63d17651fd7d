"""How a job ends in the store: by one rename of its owner's folder, which an owner who lost it cannot do.

A result becomes the folder of the job in `jobs`, whole or not at all, and only where there is none. A failure
is written inside the owner's folder, which then changes its name; only then it is copied to `failed`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.files.bounded import MOST_JSON_BYTES, parse_json
from bench_core.files.system import kind_of, looking_again, moved, opened, system
from bench_core.store import folder as files
from bench_core.store.claim import Claim, ClaimLostError
from bench_core.store.files import flush_folder, make_folder, remove_tree, storing, write_json
from bench_core.store.result import Failure
from bench_core.store.running import discard, place_of, recorded_place

FAILURE = "failure.json"


def seal(running: Path, jobs: Path, digest: str, claim: Claim | None) -> None:
    """Move a complete folder to the finished ones, with only the manifest's files and the log.

    Raises ClaimLostError where the folder is a successor's by now, or the job is sealed already.
    """
    folder, target = place_of(running, digest, claim), jobs / digest
    manifest = _manifest(folder)
    listed = {*_listed(manifest, folder), files.MANIFEST, files.LOG}
    with storing(folder):
        _drop_all_but(folder, listed)
        flush_folder(folder)
        try:
            placed = moved(folder, target)
        except FileNotFoundError:
            placed = False
        # Where the answer to the rename is lost, it cannot be told from one that was refused but by looking.
        if not placed and not _is_there(target, manifest):
            raise _refused(digest, claim, target)
        flush_folder(jobs)


def record(
    running: Path, failed: Path, digest: str, job: object, failure: Failure, claim: Claim | None
) -> None:
    """Record a failure with a copy of the log; without `resumable` the job's state is dropped.

    With a claim every file comes out of the owner's own folder: who has lost it records nothing. Raises
    ClaimLostError.
    """
    source, target = place_of(running, digest, claim), failed / digest
    kept = kind_of(source) is not None
    if claim is None:
        make_folder(source)
    elif kind_of(source / files.JOB) is None:
        # A successor has it; what lies there may have been made again in passing, for a file of the job's.
        raise claim.lost()
    with storing(source):
        write_json(source / _moving(files.JOB), job)
        with suppress(FileNotFoundError):
            looking_again(lambda: system().copy(source / files.LOG, source / _moving(files.LOG)))
        write_json(source / _moving(FAILURE), failure.to_json())
        if claim is not None:
            source = _committed(source, recorded_place(running, claim), claim)
        make_folder(target)
        for name in (files.JOB, files.LOG, FAILURE):
            # What a successor has dropped is not recorded any more; an earlier try may have moved it, too.
            with suppress(FileNotFoundError):
                looking_again(_renaming(source / _moving(name), target / name))
    if not failure.resumable or not kept:
        with storing(source):
            discard(source)


def _renaming(source: Path, target: Path) -> Callable[[], None]:
    return lambda: system().rename(source, target)


def _committed(source: Path, target: Path, claim: Claim) -> Path:
    try:
        done = moved(source, target)
    except FileNotFoundError:
        done = kind_of(target) == "folder"
    if not done:
        raise claim.lost()
    return target


def _moving(name: str) -> str:
    return f".failed-{name}.tmp"


def _manifest(folder: Path) -> bytes:
    path, fix = folder / files.MANIFEST, files.fix_for(folder)
    try:
        return looking_again(lambda: system().read(path, MOST_JSON_BYTES + 1))
    except FileNotFoundError as error:
        raise StoreError("file is missing from the store", place=str(path), fix=fix) from error
    except OSError as error:
        raise StoreError("damaged file in the store", place=str(path), cause=str(error), fix=fix) from error


def _listed(manifest: bytes, folder: Path) -> list[str]:
    try:
        return list(parse_json(manifest)["files"])
    except (ValueError, LookupError, TypeError) as error:
        raise StoreError(
            "damaged file in the store", place=str(folder / files.MANIFEST), cause=str(error),
            fix=files.fix_for(folder),
        ) from error  # fmt: skip


def _drop_all_but(folder: Path, listed: set[str]) -> None:
    with opened(folder) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
    for name, kind in sorted(names.items()):
        if kind == "folder" and not any(other.startswith(f"{name}/") for other in listed):
            remove_tree(folder / name)
        elif kind == "file" and name not in listed:
            with suppress(FileNotFoundError):
                looking_again(lambda name=name: system().unlink(folder / name))  # type: ignore[misc]


def _is_there(target: Path, manifest: bytes) -> bool:
    with suppress(OSError):
        return looking_again(lambda: system().read(target / files.MANIFEST, len(manifest) + 1)) == manifest
    return False


def _refused(digest: str, claim: Claim | None, target: Path) -> StoreError:
    if claim is not None:
        return claim.lost()
    return ClaimLostError(
        "the job is done already", place=str(target), fix="nothing is lost: the first result stays"
    )
