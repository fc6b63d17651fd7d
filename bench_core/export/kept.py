"""Keeps in a store what is run in it, as an archive would pack it: the spec and all that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench_core.errors import BenchError, StoreError
from bench_core.export.portable import Member, portable
from bench_core.files.bounded import read_json
from bench_core.files.names import name_problem
from bench_core.plan.expand import Plan
from bench_core.spec.load import LoadedSpec
from bench_core.spec.rules.labels import label_of
from bench_core.store.archive_manifest import Manifest
from bench_core.store.archive_names import PLAN, RESULTS, SPEC, is_brought
from bench_core.store.store import Store
from bench_core.store.studies import MOST_BYTES, Content, KeptStudy, keep_study
from bench_core.text import visible
from bench_core.version import __version__

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def keep(
    loaded: LoadedSpec, plan: Plan, store: Path, given: Path, overrides: Sequence[str] = ()
) -> KeptStudy:
    """Keep a spec in the store in which its jobs are run, and return it as it is kept.

    Raises StoreError where what it brings along cannot be read, has a name that cannot be kept or is too
    large, and DiskError where the store cannot be written to.
    """
    study = study_of(loaded, plan, given, overrides)
    keep_study(store, study)
    return study


def study_of(loaded: LoadedSpec, plan: Plan, given: Path, overrides: Sequence[str] = ()) -> KeptStudy:
    """Return what is kept of a spec that is run at this moment; raises StoreError as `keep` does."""
    members, spec = portable(loaded)
    files = _contents(members)
    moment = datetime.now(UTC).strftime(_TIME)
    sets = loaded.spec.datasets, (step.dataset for step in loaded.spec.steps if step.dataset is not None)
    return KeptStudy(
        name=visible(plan.name),
        spec=spec.decode(),
        files=files,
        planned=tuple(sorted({job.digest for job in plan.jobs})),
        first=moment,
        last=moment,
        given=_path(visible(str(given))),
        overrides=tuple(map(visible, overrides)),
        places={label_of(item): visible(item.root) for group in sets for item in group if item.root},
        segtrial=__version__,
    )


def _contents(members: Sequence[Member]) -> dict[str, Content]:
    files, size = dict[str, Content](), 0
    for member in members:
        for part in member.name.split("/"):
            if problem := name_problem(part):
                raise _not_kept(f"{member.name!a:.200}: {problem}")
        try:
            with member.open() as file:
                raw = file.read(MOST_BYTES + 1 - size)
        except OSError as error:
            raise _not_kept(f"{member.name}: {error.strerror or error}") from error
        size += len(raw)
        if size > MOST_BYTES:
            raise _not_kept(f"its folds and plugins take more than {MOST_BYTES // 1024**2} MiB")
        files[member.name] = Content.of(raw)
    return files


def study_of_archive(folder: Path, manifest: Manifest, archive: Path) -> KeptStudy:
    """Return what an unpacked archive says was run, as a store keeps it, at the time that its jobs say.

    Raises StoreError as `keep` does. What its spec leads to is asked when it is read.
    """
    brought = [Member(name, folder / name) for name in manifest.files if is_brought(name)]
    started, finished = zip(*_times(folder / RESULTS), strict=True)
    try:
        spec = (folder / SPEC).read_bytes().decode()
        planned = {str(row["digest"]) for row in read_json(folder / PLAN)["jobs"]}
    except (ValueError, KeyError, TypeError) as error:
        raise _not_kept(f"{archive}: {error}") from error
    return KeptStudy(
        name=visible(manifest.name),
        spec=spec,
        files=_contents(brought),
        planned=tuple(sorted(planned)),
        first=min(started),
        last=max(finished),
        given=_path(visible(archive.name)),
    )


def _times(store: Path) -> Iterator[tuple[str, str]]:
    """Yield when each finished job was started and finished; of none, the earliest moment."""
    opened, none = Store(store), True
    for digest, state in opened.states().items():
        try:
            run = opened.result(digest).provenance.get("run") if state == "done" else None
            if isinstance(run, Mapping):
                yield _moment(str(run["started"])), _moment(str(run["finished"]))
                none = False
        except (StoreError, ValueError, KeyError, OverflowError):
            continue
    if none:
        yield ("1970-01-01T00:00:00Z",) * 2


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime(_TIME)


def _path(text: str) -> str:
    """Return a path that no command takes for an option."""
    return f"./{text}" if text.startswith("-") else text


def _not_kept(cause: str) -> BenchError:
    return StoreError("the store cannot keep this spec", cause=cause)
