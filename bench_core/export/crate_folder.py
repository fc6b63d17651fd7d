"""A folder that holds a study with its description: report, tables, archive and RO-Crate metadata."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench_core.analysis.evidence import Evidence
from bench_core.export.crate import METADATA, File, Person, metadata
from bench_core.export.pack import Packed, pack
from bench_core.export.write import new_folder
from bench_core.files.hashes import sha256_of
from bench_core.plan.expand import Plan
from bench_core.report.compose import compose
from bench_core.report.write import write_report
from bench_core.spec.load import LoadedSpec
from bench_core.store import archive_names
from bench_core.store.store import Store

ARCHIVE, SPEC = "study.zip", "spec.yaml"
_SAID = {
    ARCHIVE: "The study as one archive: spec, plan, results, label maps, folds. Read it with bench verify.",
    SPEC: "The spec: models, datasets and protocol, as the archive has it.",
    "report.html": "The report: one page that loads nothing.",
    "tables/numbers.csv": "Every number that the tables print, under a key.",
}


def write_crate(
    loaded: LoadedSpec,
    plan: Plan,
    store: Store,
    evidence: Evidence,
    folder: Path,
    *,
    license_url: str,
    authors: Sequence[Person] = (),
    created: int,
    images: bool = False,
    weights: bool = False,
) -> Packed:
    """Write the crate into a folder that is new or empty; what was begun is removed where it fails.

    `images` and `weights` are those of `pack`. Raises StoreError where nothing is finished, or the folder
    holds something or cannot be written.
    """
    target = folder.resolve()
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with new_folder(folder), _removed(partial):
        partial.mkdir(parents=True)
        done = pack(loaded, plan, store, partial / ARCHIVE, images=images, weights=weights)
        write_report(compose(evidence, loaded.registry), partial)
        with zipfile.ZipFile(partial / ARCHIVE) as packed:
            (partial / SPEC).write_bytes(packed.read(archive_names.SPEC))
        content = metadata(
            evidence,
            _files(partial),
            digest=done.manifest.study,
            license_url=license_url,
            authors=authors,
            created=created,
        )
        (partial / METADATA).write_bytes(content)
        if target.exists():
            target.rmdir()
        partial.rename(target)
    return done


@contextmanager
def _removed(partial: Path) -> Iterator[None]:
    """Leave nothing of what was begun."""
    try:
        yield
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(folder: Path) -> list[File]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        found.append(File(name, path.stat().st_size, sha256_of(path), _SAID.get(name, "")))
    return found
