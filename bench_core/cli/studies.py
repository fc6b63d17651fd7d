"""Which of the studies that a store keeps a command reads."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.errors import BenchError, StoreError

if TYPE_CHECKING:
    from bench_core.store.studies import KeptStudy

STUDY = click.option(
    "--study",
    default=None,
    metavar="NAME|KEY",
    help="Where a store stands in place of a spec: which of the studies that were run in it.",
)
SHORT = 12
"""Digits of a key that are printed."""
MOST_LISTED = 8


def is_store(path: Path) -> bool:
    """Say whether a path is a folder of results."""
    return (path / "store.json").exists()


def studies_of(store: Path, wanted: str | None = None) -> list[KeptStudy]:
    """Return the studies of a store, the newest first; never none.

    Of several that planned the same jobs under one name it is the newest, and one without any result counts
    only where no other has one. `wanted` is a name or the beginning of a key. Raises StoreError where the
    store keeps none or a damaged one, BenchError where it keeps none of that name.
    """
    from bench_core.store.store import Store
    from bench_core.store.studies import kept_studies

    found, damaged = kept_studies(store)
    if wanted is not None:
        return [_named(store, wanted, found, damaged)]
    if damaged:
        raise next(iter(damaged.values()))
    if not found:
        raise _nothing_kept(store)
    newest: dict[object, KeptStudy] = {}
    for study in found.values():
        newest.setdefault((study.name, study.planned), study)
    states = Store(store).states()
    begun = [item for item in newest.values() if any(states.get(job) == "done" for job in item.planned)]
    return begun or [next(iter(newest.values()))]


def one_study(store: Path, wanted: str | None = None) -> KeptStudy:
    """Return the study that is asked for; StoreError lists them where there are several."""
    found = studies_of(store, wanted)
    if len(found) > 1:
        listed = "; ".join(map(described, found[:MOST_LISTED]))
        raise StoreError(
            f"{len(found)} studies were run in this store",
            place=str(store),
            cause=listed,
            fix=f"choose one: --study {shlex.quote(_name(found[0], found))}",
        )
    return found[0]


def described(study: KeptStudy) -> str:
    """Return in words what a study is."""
    words = [study.given, *(word for item in study.overrides for word in ("--set", item))]
    return f"{study.name}, {study.key[:SHORT]}, run on {study.last[:10]} from {shlex.join(words)}"


def _name(study: KeptStudy, among: list[KeptStudy]) -> str:
    alone = sum(item.name == study.name for item in among) == 1
    return study.name if alone and not study.name.startswith("-") else study.key[:SHORT]


def _named(
    store: Path, wanted: str, found: dict[str, KeptStudy], damaged: dict[str, StoreError]
) -> KeptStudy:
    if re.fullmatch(r"[0-9a-f]{4,32}", wanted):
        keys = [key for key in (*found, *damaged) if key.startswith(wanted)]
        if len(keys) == 1 and keys[0] in damaged:
            raise damaged[keys[0]]
        if len(keys) == 1:
            return found[keys[0]]
    named: dict[object, KeptStudy] = {}
    for study in found.values():
        if study.name == wanted:
            named.setdefault(study.planned, study)
    if len(named) == 1:
        return next(iter(named.values()))
    if not named and not found:
        raise next(iter(damaged.values()), _nothing_kept(store))
    several = [*named.values()] or [*found.values()]
    what = f"{len(named)} studies are called {wanted!r}" if named else f"no study {wanted!r} was run here"
    error = BenchError(
        what,
        place=str(store),
        cause="; ".join(map(described, several[:MOST_LISTED])),
        fix=f"choose one by its key: --study {several[0].key[:SHORT]}",
    )
    error.exit_code = 1
    raise error


def _nothing_kept(store: Path) -> StoreError:
    where = shlex.quote(str(store))
    made = _commands(store)
    return StoreError(
        "this store does not say what was run in it",
        place=str(store),
        cause="it is older than stores that keep their specs, or was made without `bench run`"
        + (f"; a job of it was computed by: {made}" if made else ""),
        fix=f"name the spec, and the store with --store {where}; "
        f"`bench run SPEC --store {where}` keeps the spec from then on",
    )


def _commands(store: Path) -> str | None:
    """Return the command that a job was computed by, if one says so."""
    from bench_core.store.store import Store

    opened = Store(store)
    for digest, state in sorted(opened.states().items()):
        if state == "done":
            try:
                said = opened.result(digest).provenance.get("command")
            except BenchError:
                continue
            if isinstance(said, str) and said:
                return said[:200]
    return None
