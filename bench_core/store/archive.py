"""Archives of finished studies: a zip file whose first member says what is in it, unpacked within bounds.

Whoever wrote one is not trusted: members have plain names in known places, sizes and hashes are those of the
manifest, and nothing is written before all of it has been checked.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from bench_core.errors import StoreError
from bench_core.files.bounded import BoundError, open_regular, parse_json
from bench_core.files.zip_contents import check_contents
from bench_core.store.archive_manifest import ARCHIVE_FORMAT, MOST_MANIFEST_BYTES, Fact, Manifest, manifests
from bench_core.store.archive_names import MANIFEST, PLAN, RESULTS, SPEC, is_of_job, kind_of, misplaced
from bench_core.store.manifest import manifest_of

MOST_MEMBERS = 500_000
MOST_BYTES = 256 * 1024**3
"""Of all members together, unpacked."""
SMALL, MOST_RATIO = 1024**3, 100
"""Beyond SMALL bytes an archive may not grow by more than MOST_RATIO: text of results shrinks by 10."""
_PIECE = 1024**2


def is_archive(path: Path) -> bool:
    """Say whether a file is an archive, by how it begins, or a damaged one, by its name."""
    try:
        with open_regular(path) as file:
            return file.read(4) == b"PK\3\4" or path.name.lower().endswith(".zip")
    except OSError:
        return False


def read_manifest(path: Path) -> Manifest:
    """Return what an archive says of itself; raises StoreError where it is damaged or not one of a study."""
    with _opened(path) as archive:
        return _manifest(archive, _members(archive, path), path)


def unpack(path: Path, folder: Path) -> Manifest:
    """Write an archive's members below an empty folder and return its manifest.

    Raises StoreError that names the member that is damaged, out of place or not listed, and for an archive
    that claims more than it may, or more than the disk holds.
    """
    with _opened(path) as archive:
        members = _members(archive, path)
        manifest = _manifest(archive, members, path)
        _check_sums(path, members, folder)
        _check_listed(path, members, manifest)
        for name, fact in manifest.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as out:
                found = copied(_pieces(archive, members[name]), out, fact.bytes)
            if found != fact:
                raise _damaged(path, f"{name} is not as the manifest has it", name)
    _check_left_out(path, manifest, folder)
    return manifest


def copied(pieces: Iterator[bytes], out: IO[bytes], most: int) -> Fact:
    """Write pieces to a file, at most one more byte than `most`, and return what was written."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        piece = piece[: most + 1 - size]
        out.write(piece)
        digest.update(piece)
        size += len(piece)
        if size > most:
            break
    return Fact(size, digest.hexdigest())


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's content piece by piece."""
    while piece := file.read(_PIECE):
        yield piece


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open_regular(path) as file:
            check_contents(file)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except BoundError as error:
        raise _damaged(path, str(error)) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    except OSError as error:
        fix = "free some space, or set TMPDIR to a folder on a larger disk"
        if error.errno == errno.EINVAL and error.filename is None:
            raise _damaged(path, "a member lies outside of the file") from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            "the archive cannot be unpacked" if full else "the archive cannot be read",
            place=str(path),
            cause=error.strerror or str(error),
            fix=fix if full else None,
        ) from error


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise _damaged(path, f"it holds {len(infos)} members, more than {MOST_MEMBERS}")
    taken: set[str] = set()
    for info in infos:
        # What zipfile makes of a name depends on the system; what the file itself says does not.
        name = info.orig_filename
        problem = misplaced(name) or _odd(info)
        if problem is not None:
            raise _damaged(path, f"{name!a:.120}: {problem}", name)
        if name.lower() in taken:
            raise _damaged(path, f"{name!a:.120} comes twice", name)
        taken.add(name.lower())
        members[name] = info
    for name in taken:
        if any(parent in taken for parent in _parents(name)):
            raise _damaged(path, f"{name!a:.120} lies in another member", name)
    return members


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _odd(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        return "it is a link or a device"
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed by another method than deflate"
    return None


def _manifest(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], path: Path) -> Manifest:
    if MANIFEST not in members:
        raise StoreError(
            "this is not an archive of a study",
            place=str(path),
            cause=f"it holds no {MANIFEST}",
            fix="`bench export --archive FILE SPEC` writes one",
        )
    with archive.open(members[MANIFEST]) as file:
        content = file.read(MOST_MANIFEST_BYTES + 1)
    try:
        data = parse_json(content, MOST_MANIFEST_BYTES)
        found = data.get("format") if isinstance(data, dict) else None
        if found != ARCHIVE_FORMAT:
            raise StoreError(
                f"the archive has format {found!a:.40}, this segtrial reads format {ARCHIVE_FORMAT}",
                place=str(path),
                fix="use the segtrial version that wrote it",
            )
        return manifests().validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{place:.120}: {first['msg']}", MANIFEST) from error
    except ValueError as error:
        raise _damaged(path, str(error), MANIFEST) from error


def _check_sums(path: Path, members: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    total, size = sum(info.file_size for info in members.values()), path.stat().st_size
    if total > MOST_BYTES or (total > SMALL and total > MOST_RATIO * size):
        raise _damaged(path, f"its {size} bytes claim to unpack to {total}")
    free = shutil.disk_usage(folder).free
    if total > free:
        raise StoreError(
            "the archive cannot be unpacked",
            place=str(path),
            cause=f"it takes {total} bytes, {free} are free in {folder.parent}",
            fix="free some space, or set TMPDIR to a folder on a larger disk",
        )


def _check_listed(path: Path, members: Mapping[str, zipfile.ZipInfo], manifest: Manifest) -> None:
    for name in members.keys() ^ {MANIFEST, *manifest.files}:
        what = "is not in the manifest" if name in members else "is in the manifest and not in the archive"
        raise _damaged(path, f"{name!a:.120} {what}", name)
    for name in (SPEC, PLAN, f"{RESULTS}/store.json"):
        if name not in manifest.files:
            raise _damaged(path, f"it holds no {name}")
    for name in manifest.left_out:
        inside = is_of_job(name) and misplaced(name) is None
        if name in manifest.files or not inside or kind_of(name.split("/", 3)[3]) is None:
            raise _damaged(path, f"{name!a:.120} cannot be left out", MANIFEST)


def _check_left_out(path: Path, manifest: Manifest, folder: Path) -> None:
    """Compare what is left out with what the jobs say that they left."""
    listed: dict[str, dict[str, tuple[int, str]]] = {}
    for name, fact in manifest.left_out.items():
        job, _, file = name.partition("/jobs/")[2].partition("/")
        try:
            known = listed.get(job) or manifest_of(folder / RESULTS / "jobs" / job)
            listed[job] = known
        except StoreError as error:
            raise _damaged(path, f"{name}: {error.message}", name) from error
        if known.get(file) != (fact.bytes, fact.sha256):
            raise _damaged(path, f"{name!a:.120} is not what its job left", MANIFEST)


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as file:
        yield from pieces_of(file)


def _damaged(path: Path, cause: str, member: str | None = None) -> StoreError:
    place = str(path) if member is None else f"{path}: {os.fsdecode(member.encode('utf-8', 'replace'))[:200]}"
    return StoreError(
        "the archive is damaged, or not one of a study",
        place=place,
        cause=cause,
        fix="get it again from where it came, and compare its SHA-256",
    )
