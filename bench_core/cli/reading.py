"""Where commands read a finished study: a spec and a store, or a store or an archive that holds both."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import say
from bench_core.cli.studies import is_store, one_study
from bench_core.errors import BenchError, StoreError

if TYPE_CHECKING:
    from bench_core.store.archive_manifest import Manifest
    from bench_core.store.store import Store
    from bench_core.store.studies import KeptStudy

TRUST = click.option(
    "--trust-code",
    is_flag=True,
    help="Run the Python files that a store or an archive brings along; read them first.",
)
STORE_OR_ARCHIVE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    envvar="SEGTRIAL_STORE",
    help="Folder of results, or an archive.",
)


@dataclass(frozen=True)
class Source:
    """A spec and the results to read of it."""

    spec: Path
    store: Store
    place: Path
    """The store's folder or the archive, as the user named it."""
    given: Path
    """The spec or the archive, as the user named it; the study's file where a store stands for its spec."""
    manifest: Manifest | None = None
    """Of an archive."""
    unpacked: Path | None = None
    study: KeptStudy | None = None
    """What the store keeps of the spec, where the store stands for it."""

    @property
    def told(self) -> Path:
        """What the spec was unpacked from, as messages name it."""
        return self.place if self.study is None else self.given

    def command(self, overrides: Sequence[str] = ()) -> str:
        """Return spec and overrides as words of a command line; of an archive for whoever unzips it."""
        words = [self.spec.name if self.manifest is not None else str(self.spec)]
        if self.study is not None:
            words, overrides = [self.study.given], (*self.study.overrides, *overrides)
        return shlex.join([*words, *(word for item in overrides for word in ("--set", item))])

    def shown(self, text: str) -> str:
        """Return text in which places in the unpacked archive are places in the archive."""
        return text if self.unpacked is None else _in_archive(text, self.unpacked, self.told)


@contextmanager
def reading(spec: Path, store: Path, trust_code: bool = False, study: str | None = None) -> Iterator[Source]:
    """Yield where a study is read; SPEC may be a store that keeps it, or an archive, which then is the store.

    `study` names one of a store's. What is packed is unpacked into a temporary folder while the block runs.
    Raises StoreError where it is damaged, leads out of itself, or brings code and `trust_code` is not set.
    """
    from bench_core.store.archive import is_archive
    from bench_core.store.store import Store

    packed = is_archive(spec)
    if study is not None and not is_store(spec):
        raise click.UsageError("--study is of a store that stands in place of a spec")
    if not packed and not is_store(spec):
        if is_archive(store):
            raise StoreError(
                "an archive holds its own spec",
                place=str(store),
                fix=f"name the archive instead of {spec}, without --store",
            )
        yield Source(spec, Store(store), store, spec)
        return
    if _store_is_named():
        kind = "an archive" if packed else "a store that stands for its spec"
        raise click.UsageError(f"{kind} is read with its own results: leave --store away")
    with _unpacked(spec, trust_code) if packed else _kept(spec, study, trust_code) as source:
        yield source


@contextmanager
def reading_store(store: Path) -> Iterator[Source]:
    """Yield a folder of results, or those of an archive; no spec is read, so no code of it is run."""
    from bench_core.store.archive import is_archive
    from bench_core.store.store import Store

    if is_archive(store):
        with _unpacked(store, None) as source:
            yield source
        return
    if store.is_file():
        raise StoreError(
            "this is neither a folder of results nor an archive",
            place=str(store),
            fix="name a folder of results, or a file that `bench export --archive` wrote",
        )
    yield Source(Path(), Store(store), store, Path())


@contextmanager
def _unpacked(archive: Path, trust_code: bool | None) -> Iterator[Source]:
    from bench_core.export.packed_spec import check_packed_spec
    from bench_core.store.archive import unpack
    from bench_core.store.archive_names import RESULTS, SPEC
    from bench_core.store.store import Store

    with _folder_for(archive) as folder:
        manifest = unpack(archive, folder)
        if trust_code is not None:
            check_packed_spec(folder, manifest.files.keys(), archive)
            code = {name: manifest.files[name].sha256 for name in manifest.code}
            first = next(iter(code), "")
            shown = f"unzip -p {shlex.quote(str(archive))} {shlex.quote(first)}"
            _ask_for_trust(archive, "archive", code, shown, trust_code)
        store = Store(folder / RESULTS, left_out=manifest.missing())
        store.shown = Path(RESULTS)
        yield Source(folder / SPEC, store, archive, archive, manifest, folder)


@contextmanager
def _kept(store: Path, name: str | None, trust_code: bool) -> Iterator[Source]:
    from bench_core.export.packed_spec import check_packed_spec
    from bench_core.store.archive_names import SPEC, is_code
    from bench_core.store.store import Store
    from bench_core.store.studies import hashes_of, unpack_study

    opened, study = Store(store), one_study(store, name)
    file = store / study.file
    with _folder_for(file) as folder:
        unpack_study(study, folder)
        check_packed_spec(folder, study.files.keys(), file)
        code = {name: sha256 for name, sha256 in hashes_of(study).items() if is_code(name)}
        shown = f"python -m json.tool {shlex.quote(str(file))}"
        _ask_for_trust(store, "store", code, shown, trust_code)
        yield Source(folder / SPEC, opened, store, file, unpacked=folder, study=study)


@contextmanager
def _folder_for(place: Path) -> Iterator[Path]:
    """Yield a temporary folder to unpack into; errors name `place` instead of it."""
    from bench_core.spec.diagnostics import SpecError

    with tempfile.TemporaryDirectory(prefix="segtrial-") as name:
        # Without links: places in it are compared with paths that programs have resolved.
        folder = Path(name).resolve()
        try:
            yield folder
        except BenchError as error:
            for part in ("message", "place", "cause", "fix"):
                text = getattr(error, part)
                if text is not None:
                    setattr(error, part, _in_archive(text, folder, place))
            if isinstance(error, SpecError):
                texts = {
                    item: {
                        part: None if text is None else _in_archive(text, folder, place)
                        for part in ("path", "message", "cause", "fix")
                        for text in (getattr(item, part),)
                    }
                    for item in error.diagnostics
                }
                error.diagnostics = [replace(item, **parts) for item, parts in texts.items()]  # type: ignore[arg-type]
            raise


def _in_archive(text: str, folder: Path, archive: Path) -> str:
    return text.replace(f"{folder}/", f"{archive}: ").replace(str(folder), str(archive))


def _ask_for_trust(place: Path, kind: str, code: Mapping[str, str], shown: str, trusted: bool) -> None:
    """Raise StoreError where files would be run, by name and SHA-256, that nobody has said to trust."""
    if not code:
        return
    listed = ", ".join(f"{name} ({sha256[:12]})" for name, sha256 in [*code.items()][:8])
    if not trusted:
        raise StoreError(
            f"the {kind} brings code of its own, which reading its spec would run",
            place=str(place),
            cause=listed,
            fix=f"read it ({shown}), then repeat the command with --trust-code",
        )
    say(f"note: code of the {kind} is run: {listed}", err=True)


def _store_is_named() -> bool:
    context = click.get_current_context(silent=True)
    if context is None:
        return False
    return context.get_parameter_source("store") is click.core.ParameterSource.COMMANDLINE
