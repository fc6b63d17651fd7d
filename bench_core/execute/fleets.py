"""Fleets of workers that executors have started: what is written down of each, and how it is asked.

`queue/fleets/ID.json` is the record of a fleet, `queue/fleets/ID/` its executor's folder. A record is made
before anything is started and stays until the fleet is known to have ended: whoever starts the same study
again, on any machine, finds the workers that are there. What a scheduler says is a hint; jobs are safe
whatever it says.
"""

from __future__ import annotations

import re
import secrets
import shlex
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from bench_core.declarations import ExecutorDeclaration, Fleet, FleetRequest, resolve_entry
from bench_core.declarations.code import call
from bench_core.errors import BenchError, MissingDependencyError, PluginError, StoreError
from bench_core.execute.queue import FOLDER, fault_in
from bench_core.install import install_command, install_modules
from bench_core.options import complete_options
from bench_core.plugins.registry import Registry
from bench_core.store.files import make_folder, read_json, remove_tree, write_json
from bench_core.store.states import unreadable
from bench_core.store.store import Store
from bench_core.text import visible_name

FLEETS = "fleets"
KEPT = 20
"""Ended fleets whose logs are kept."""
MOST_RECORDS = 1000
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
_LONGEST_LABEL = 200
Answer = TypeVar("Answer")


class FleetError(BenchError):
    """Workers elsewhere that cannot be started, or are gone while jobs are left."""


@dataclass(frozen=True)
class FleetRecord:
    """What is known of a fleet without asking its executor."""

    id: str
    executor: str
    batch: str
    """The queued jobs that its workers pull."""
    workers: int
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    """Empty until it was started."""
    host: str = ""
    """From which it was started, for people."""
    started: str = ""
    """UTC, ISO 8601."""
    ended: str | None = None
    """When it was known to have ended."""


@dataclass(frozen=True)
class Manned:
    """A fleet with its record; without `fleet`, one that nobody can ask from here."""

    record: FleetRecord
    fleet: Fleet | None
    why: str = ""
    """Why nobody can."""

    @property
    def label(self) -> str:
        """What people call it."""
        return self.record.label or f"fleet {self.record.id}"

    def alive(self) -> int | None:
        """Return how many workers are queued or at work; None where nobody tells."""
        if self.fleet is None:
            return None
        fleet = self.fleet
        try:
            found = _ask(self.record.executor, fleet.alive)
        except BenchError:
            return None
        return found if isinstance(found, int) and found >= 0 else None

    def stop(self, *, kill: bool = False) -> None:
        """Ask its workers to end, or end them; raises BenchError where that cannot be asked."""
        if self.fleet is None:
            if not self.record.label:
                raise FleetError(
                    f"{self.label} cannot be stopped yet",
                    cause=f"it is being started from {self.record.host}, or that was cut off ({self.why})",
                    fix=f"try again in a moment; if it stays, see what {self.record.executor} itself lists",
                )
            raise FleetError(
                f"{self.label} cannot be stopped from here",
                cause=self.why,
                fix=f"use the tools of {self.record.executor}, on {self.record.host}",
            )
        fleet = self.fleet
        _ask(self.record.executor, lambda: fleet.stop(kill=kill))


def start_fleet(
    store: Store,
    executor: ExecutorDeclaration,
    options: Mapping[str, Any],
    batch: str,
    request: FleetRequest,
) -> Manned:
    """Write a record, start the workers and return the fleet; the request's folder is chosen here.

    Raises what the executor raises for users, PluginError for what else it does, DiskError if the store
    cannot be written to. A fleet that could not be started leaves no record.
    """
    now = datetime.now(UTC)
    record = FleetRecord(
        id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
        executor=executor.name,
        batch=batch,
        workers=request.workers,
        options=dict(options),
        host=socket.gethostname(),
        started=now.isoformat(timespec="seconds"),
    )
    folder = fleet_folder(store, record)
    make_folder(folder)
    _write(store, record)
    fleet: Fleet | None = None
    try:
        entry = resolve_entry(executor.start)
        fleet = _ask(executor.name, lambda: entry(replace(request, folder=folder.resolve()), dict(options)))
        record = replace(record, label=_label(executor.name, fleet))
    except BaseException:
        with suppress(StoreError, OSError):
            _path(store, record.id).unlink(missing_ok=True)
        if fleet is not None:
            _undo(executor.name, fleet)
        raise
    try:
        _write(store, record)
    except KeyboardInterrupt:
        _undo(executor.name, fleet)
        raise
    return Manned(record, fleet)


def _undo(name: str, fleet: Fleet) -> None:
    """Stop workers that nobody will watch; whatever their executor says to that, the reason is told."""
    with suppress(BenchError):
        _ask(name, lambda: fleet.stop())


def open_fleets(store: Store, registry: Registry) -> list[Manned]:
    """Return the fleets that are not known to have ended, the newest first, each attached to if possible.

    A damaged record counts as none; `damaged_records` names it. Raises StoreError where none can be listed.
    """
    found = []
    for record in _records(store):
        if record.ended is None:
            found.append(_attached(store, record, registry))
    return found


def damaged_records(store: Store) -> list[StoreError]:
    """Return what is wrong with records of fleets that cannot be read: their workers may be alive."""
    found = []
    for name in _names(store):
        try:
            _read(store, name)
        except StoreError as error:
            found.append(error)
    return found


def close_fleet(store: Store, record: FleetRecord) -> None:
    """Write down that a fleet has ended; a store that cannot be written to keeps it open."""
    with suppress(StoreError, OSError):
        if _path(store, record.id).exists():
            _write(store, replace(record, ended=datetime.now(UTC).isoformat(timespec="seconds")))


def sweep_fleets(store: Store) -> None:
    """Remove the oldest of the fleets that have ended, with their logs."""
    with suppress(StoreError, OSError):
        for record in [record for record in _records(store) if record.ended is not None][KEPT:]:
            remove_tree(fleet_folder(store, record))
            _path(store, record.id).unlink(missing_ok=True)


def fleet_folder(store: Store, record: FleetRecord) -> Path:
    """Return the folder of a fleet's scripts and logs."""
    return store.path / FOLDER / FLEETS / record.id


def lacking(executor: ExecutorDeclaration) -> str:
    """Return in words what keeps an executor from being used here, "" where nothing does."""
    missing = _missing(executor)
    if missing:
        return f"needs {', '.join(missing)} ({_install(executor, missing)})"
    if executor.lacking is None:
        return ""
    try:
        entry = resolve_entry(executor.lacking)
        return str(call(f"executor {executor.name!r}, asked what it lacks,", entry))
    except BenchError as error:
        return error.message


def require(executor: ExecutorDeclaration) -> None:
    """Raise MissingDependencyError or FleetError where an executor cannot be used here."""
    missing = _missing(executor)
    if missing:
        raise MissingDependencyError(
            f"executor {executor.name!r} needs {', '.join(missing)}", fix=_install(executor, missing)
        )
    why = lacking(executor)
    if why:
        raise FleetError(
            f"executor {executor.name!r} cannot be used here", cause=why, fix="see `bench doctor`"
        )


def _missing(executor: ExecutorDeclaration) -> list[str]:
    return [package for package in executor.requires if find_spec(package) is None]


def _install(executor: ExecutorDeclaration, missing: list[str]) -> str:
    return install_command(executor.install) if executor.install else install_modules(missing)


def _ask(name: str, question: Callable[[], Answer]) -> Answer:
    return call(f"executor {name!r}", question)


def _label(name: str, fleet: Any) -> str:
    label = getattr(fleet, "label", None)
    if not isinstance(label, str) or not (callable(getattr(fleet, "alive", None)) and hasattr(fleet, "stop")):
        raise PluginError(
            f"executor {name!r} started something that is not a Fleet",
            cause="a Fleet has a label, alive() and stop()",
            fix=f"bench test {name}",
        )
    return visible_name(label)[:_LONGEST_LABEL]


def _attached(store: Store, record: FleetRecord, registry: Registry) -> Manned:
    executor = registry.executors.get(record.executor)
    if executor is None:
        return Manned(record, None, f"no plugin that is loaded declares the executor {record.executor!r}")
    if executor.attach is None:
        return Manned(
            record, None, "its executor cannot be asked by another process than the one that started it"
        )
    why = lacking(executor)
    if why:
        return Manned(record, None, why)
    if fleet_folder(store, record).is_symlink():
        return Manned(record, None, "its folder is a link out of the store")
    folder = fleet_folder(store, record).resolve()
    try:
        options = complete_options(executor.options, record.options)
        entry = resolve_entry(executor.attach)
        fleet: Fleet = _ask(executor.name, lambda: entry(folder, options))
        _label(executor.name, fleet)
    except (BenchError, ValueError) as error:
        return Manned(record, None, str(error).splitlines()[0])
    return Manned(record, fleet)


def _names(store: Store) -> list[str]:
    folder = store.path / FOLDER / FLEETS
    try:
        found = [path for path in folder.iterdir() if path.suffix == ".json"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        # That there are none would be believed.
        raise unreadable(folder, error) from error
    names = [path.stem for path in found if _ID.fullmatch(path.stem)]
    return sorted(names, reverse=True)[:MOST_RECORDS]


def _records(store: Store) -> list[FleetRecord]:
    found = []
    for name in _names(store):
        with suppress(StoreError):
            found.append(_read(store, name))
    return found


def _read(store: Store, name: str) -> FleetRecord:
    """Return the record of a fleet; raises StoreError where it is damaged."""
    path = _path(store, name)
    fix = f"see the logs in {path.with_suffix('')}, stop what still runs, then rm {shlex.quote(str(path))}"
    data = read_json(path, fix)
    try:
        return _record(name, data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(
            "damaged file in the store", place=str(path), cause=fault_in(error), fix=fix
        ) from error


def _record(name: str, data: Mapping[str, Any]) -> FleetRecord:
    texts = {key: str(data[key]) for key in ("executor", "batch", "label", "host", "started")}
    if any(len(text) > _LONGEST_LABEL or not text.isprintable() for text in texts.values()):
        raise ValueError("not the record of a fleet")
    ended, workers = data["ended"], data["workers"]
    if not isinstance(workers, int) or workers < 0:
        raise ValueError("it says no number of workers")
    return FleetRecord(
        id=name,
        workers=workers,
        options=dict(data["options"]),
        ended=None if ended is None else str(ended),
        **texts,
    )


def _write(store: Store, record: FleetRecord) -> None:
    data = asdict(record)
    del data["id"]
    write_json(_path(store, record.id), data)


def _path(store: Store, name: str) -> Path:
    return store.path / FOLDER / FLEETS / f"{name}.json"
