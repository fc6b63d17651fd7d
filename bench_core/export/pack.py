"""Packs a finished study into one file: what a reviewer needs to verify it and to report it again."""

from __future__ import annotations

import json
import os
import platform
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench_core.analysis.study_digest import study_digest
from bench_core.errors import BenchError, StoreError
from bench_core.export.portable import Member, portable
from bench_core.files.hashes import sha256_of
from bench_core.files.names import name_problem
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job
from bench_core.plan.load import load_plan
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import LoadedSpec
from bench_core.store import archive as container
from bench_core.store import archive_names
from bench_core.store import folder as files
from bench_core.store.accepted import ACCEPTED, read_accepted
from bench_core.store.archive_manifest import ARCHIVE_FORMAT, Fact, LeftOut, Manifest
from bench_core.store.manifest import manifest_of
from bench_core.store.store import Store
from bench_core.version import __version__

_MOMENT = (1980, 1, 1, 0, 0, 0)
"""Of every member: the earliest that a zip file can say, so that equal contents give equal bytes."""
_DENSE = (".npz", ".pt", ".png", ".jpg", ".gz", ".zip")
"""Suffixes of what does not get smaller."""
_LARGE = 2**31 - 1


@dataclass(frozen=True)
class Packed:
    """An archive that was written."""

    path: Path
    bytes: int
    sha256: str
    manifest: Manifest
    damaged: tuple[BenchError, ...]
    """Finished jobs that are not in it, since their files are not as they were sealed."""


def pack(
    loaded: LoadedSpec, plan: Plan, store: Store, target: Path, *, images: bool = False, weights: bool = False
) -> Packed:
    """Write the finished jobs of a plan, its spec and what it is read with into a new file.

    `images` takes the pictures of cases along, which show images of the dataset, `weights` the networks.
    Equal stores give equal bytes under one version of zlib. Raises StoreError where nothing is finished or
    the file exists or cannot be written, and where the archive would plan other jobs than the spec does.
    """
    if target.exists():
        raise StoreError("the file exists already", place=str(target), fix="name another, or remove this one")
    jobs, damaged = _sound(plan, store)
    if not jobs:
        raise StoreError(
            f"no job of {plan.name!r} is finished and whole",
            place=str(store.path),
            cause=damaged[0].message if damaged else f"none of its {len(plan.jobs)} jobs has a result",
        )
    members = [Member(archive_names.RESULTS + "/store.json", store.path / "store.json")]
    left_out: dict[str, LeftOut] = {}
    for job in jobs:
        for member, fact in _files_of(job, store):
            kind = archive_names.kind_of(member.name.split("/", 3)[3])
            if (kind == "images" and not images) or (kind == "weights" and not weights):
                left_out[member.name] = LeftOut(fact.bytes, fact.sha256, kind)
            else:
                members.append(member)
    for fingerprint in sorted({store.result(job.digest).data.fingerprint for job in jobs}):
        path = store.datasets / f"{fingerprint}.json"
        if path.exists():
            members.append(Member(f"results/datasets/{path.name}", path))
    if read_accepted(store.path):
        members.append(Member(f"results/{ACCEPTED}", store.path / ACCEPTED))
    brought, spec = portable(loaded)
    members += [*brought, Member(archive_names.SPEC, spec), Member(archive_names.PLAN, _plan(plan, jobs))]
    members.sort(key=lambda member: member.name)
    for member in members:
        _check_name(member.name, store)
    _check_spec(brought, spec, plan)
    done = {job.digest for job in jobs}
    manifest = Manifest(
        format=ARCHIVE_FORMAT,
        name=plan.name,
        study=study_digest(loaded.spec, plan, store, {job.digest for job in plan.jobs} - done),
        tools={"segtrial": __version__, "python": platform.python_version(), "numpy": np.__version__},
        planned=len(plan.jobs),
        done=len(done),
        files={member.name: member.fact() for member in members},
        left_out=left_out,
        plugins=loaded.registry.contents,
    )
    _write(target, manifest, members)
    return Packed(target, target.stat().st_size, sha256_of(target), manifest, tuple(damaged))


def _sound(plan: Plan, store: Store) -> tuple[list[Job], list[BenchError]]:
    """Return the finished jobs whose files are as they were sealed, and what is wrong with the others."""
    jobs, damaged = [], []
    for job in plan.jobs:
        if not store.is_done(job.digest):
            continue
        try:
            store.check(job.digest)
            store.result(job.digest)
            jobs.append(job)
        except BenchError as error:
            damaged.append(error)
    return jobs, damaged


def _files_of(job: Job, store: Store) -> Iterator[tuple[Member, Fact]]:
    """Yield what a job left: the listed files, the manifest and the log; a link among them is refused."""
    folder = store.folder(job.digest)
    listed = manifest_of(folder)
    for name in (*listed, files.MANIFEST, files.LOG):
        path = folder / name
        if name == files.LOG and not path.exists():
            continue
        if not stat.S_ISREG(path.lstat().st_mode) or not path.resolve().is_relative_to(folder.resolve()):
            raise StoreError("a link is not packed", place=str(path), fix=files.fix_for(folder))
        member = Member(f"results/jobs/{job.digest}/{name}", path)
        yield member, Fact(*listed[name]) if name in listed else member.fact()


def _check_name(name: str, store: Store) -> None:
    for part in name.split("/"):
        problem = name_problem(part)
        if problem is not None:
            raise StoreError(
                "a file has a name that cannot be packed", place=f"{store.path}: {name!a:.200}", cause=problem
            )


def _plan(plan: Plan, jobs: Sequence[Job]) -> bytes:
    """Return every planned job by digest and name, for readers without segtrial."""
    done = {job.digest for job in jobs}
    rows = [{"digest": job.digest, "name": job.name, "done": job.digest in done} for job in plan.jobs]
    return (json.dumps({"jobs": rows}, indent=1) + "\n").encode()


def _check_spec(brought: Sequence[Member], spec: bytes, plan: Plan) -> None:
    """Raise StoreError unless the spec as it is packed plans the jobs that it planned where it was run."""
    with tempfile.TemporaryDirectory(prefix="segtrial-") as name:
        folder = Path(name)
        for member in brought:
            (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
            with member.open() as file:
                (folder / member.name).write_bytes(file.read())
        (folder / archive_names.SPEC).write_bytes(spec)
        cause = "its models or plugins need files that a spec does not name, such as the bases of a config"
        try:
            _, found = load_plan(folder / archive_names.SPEC)
            if {job.digest for job in found.jobs} == {job.digest for job in plan.jobs}:
                return
        except SpecError as error:
            cause = _first(str(error.diagnostics[0]), folder)
        except BenchError as error:
            cause = _first(str(error), folder)
        raise StoreError(
            "the study cannot be packed: from the archive its spec would plan other jobs",
            cause=cause,
            fix="make each plugin and each file that is a model one that needs no other file",
        )


def _first(text: str, folder: Path) -> str:
    return text.replace(f"{folder}/", "").splitlines()[0]


def _write(target: Path, manifest: Manifest, members: Sequence[Member]) -> None:
    text = json.dumps(manifest.to_json(), indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("xb") as out, zipfile.ZipFile(out, "w") as archive:
            _add(archive, Member(archive_names.MANIFEST, text.encode()), None)
            for member in members:
                _add(archive, member, manifest.files[member.name])
        _place(beside, target)
    except OSError as error:
        raise StoreError(
            "cannot write the archive",
            place=str(error.filename or target),
            cause=error.strerror or str(error),
            fix="name another file, on a disk with space",
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _place(beside: Path, target: Path) -> None:
    """Give a whole file its name; of two that pack at once none overwrites the other."""
    try:
        os.link(beside, target)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links.
        if target.exists():
            raise
        beside.rename(target)


def _add(archive: zipfile.ZipFile, member: Member, fact: Fact | None) -> None:
    info = zipfile.ZipInfo(member.name, _MOMENT)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    dense = member.name.endswith(_DENSE)
    info.compress_type = zipfile.ZIP_STORED if dense else zipfile.ZIP_DEFLATED
    large = fact is not None and fact.bytes > _LARGE
    with member.open() as file, archive.open(info, "w", force_zip64=large) as out:
        found = container.copied(container.pieces_of(file), out, 2**62)
    if fact is not None and found != fact:
        raise StoreError("a file changed while it was packed", place=member.name, fix="pack it again")
