"""Where commands read a finished study: a spec and a store, or an archive that holds both."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import say
from bench_core.errors import BenchError, StoreError

if TYPE_CHECKING:
    from bench_core.store.archive import Manifest
    from bench_core.store.store import Store

TRUST = click.option(
    "--trust-code",
    is_flag=True,
    help="Run the Python files that an archive brings along; read them first.",
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
    """The spec or the archive, as the user named it."""
    manifest: Manifest | None = None
    """Of an archive."""
    unpacked: Path | None = None

    def command(self, overrides: Sequence[str] = ()) -> str:
        """Return spec and overrides as words of a command line; of an archive for whoever unzips it."""
        words = [self.spec.name if self.manifest is not None else str(self.spec)]
        return shlex.join([*words, *(word for item in overrides for word in ("--set", item))])

    def shown(self, text: str) -> str:
        """Return text in which places in the unpacked archive are places in the archive."""
        return text if self.unpacked is None else _in_archive(text, self.unpacked, self.place)


@contextmanager
def reading(spec: Path, store: Path, trust_code: bool = False) -> Iterator[Source]:
    """Yield where a study is read; SPEC may be an archive, which then is the store, too.

    An archive is unpacked into a temporary folder while the block runs. Raises StoreError where it is
    damaged, leads out of itself, or brings code and `trust_code` is not set.
    """
    from bench_core.store.archive import is_archive
    from bench_core.store.store import Store

    if not is_archive(spec):
        if (spec / "store.json").exists():
            raise StoreError(
                "this is a store, and not a spec",
                place=str(spec),
                cause="a store holds results of any spec, and not what was planned",
                fix=f"name the spec, and the store with --store {shlex.quote(str(spec))}",
            )
        if is_archive(store):
            raise StoreError(
                "an archive holds its own spec",
                place=str(store),
                fix=f"name the archive instead of {spec}, without --store",
            )
        yield Source(spec, Store(store), store, spec)
        return
    if _store_is_named():
        raise click.UsageError("an archive is read with its own results: leave --store away")
    with _unpacked(spec, trust_code) as source:
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
    from bench_core.store.archive import RESULTS, SPEC, unpack
    from bench_core.store.store import Store

    with tempfile.TemporaryDirectory(prefix="segtrial-") as name:
        # Without links: places in it are compared with paths that programs have resolved.
        folder = Path(name).resolve()
        try:
            manifest = unpack(archive, folder)
            if trust_code is not None:
                check_packed_spec(folder, manifest, archive)
                _ask_for_trust(archive, manifest, trust_code)
            store = Store(folder / RESULTS, left_out=manifest.missing())
            store.shown = Path(RESULTS)
            yield Source(folder / SPEC, store, archive, archive, manifest, folder)
        except BenchError as error:
            for part in ("message", "place", "cause", "fix"):
                text = getattr(error, part)
                if text is not None:
                    setattr(error, part, _in_archive(text, folder, archive))
            raise


def _in_archive(text: str, folder: Path, archive: Path) -> str:
    return text.replace(f"{folder}/", f"{archive}: ").replace(str(folder), str(archive))


def _ask_for_trust(archive: Path, manifest: Manifest, trusted: bool) -> None:
    if not manifest.code:
        return
    listed = ", ".join(f"{name} ({manifest.files[name].sha256[:12]})" for name in manifest.code[:8])
    if not trusted:
        raise StoreError(
            "the archive brings code of its own, which reading its spec would run",
            place=str(archive),
            cause=listed,
            fix=f"read it (unzip -p {shlex.quote(str(archive))} {shlex.quote(manifest.code[0])}), then "
            "repeat the command with --trust-code",
        )
    say(f"note: code of the archive is run: {listed}", err=True)


def _store_is_named() -> bool:
    context = click.get_current_context(silent=True)
    if context is None:
        return False
    return context.get_parameter_source("store") is click.core.ParameterSource.COMMANDLINE
