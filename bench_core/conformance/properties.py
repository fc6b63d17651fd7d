"""What a suite is made of: properties that a plugin owes, and what was found of each."""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from bench_core.declarations import Entry, resolve_entry
from bench_core.errors import BenchError

State = Literal["ok", "wrong", "skipped"]
Subject = TypeVar("Subject")
_CORE = Path(__file__).parents[1]
_SOME = 4
_LONGEST = 300


class Wrong(Exception):  # noqa: N818 - it is a verdict on the plugin
    """The property does not hold; says where, if not at the plugin's own code, and what to do about it."""

    def __init__(self, message: str, *, place: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.place, self.fix = place, fix


class NotApplicable(Exception):  # noqa: N818
    """There is nothing to check."""


@dataclass(frozen=True)
class Property(Generic[Subject]):
    """One line of the table: a check that returns where it holds, or raises Wrong or NotApplicable."""

    name: str
    check: Callable[[Subject], None]
    fix: str = ""
    """What an author does where it does not hold."""


@dataclass(frozen=True)
class Finding:
    """What was found of one property."""

    name: str
    state: State
    note: str = ""
    """What is wrong, or why it was skipped."""
    place: str = ""
    """Where: file and line of the plugin's code, or a file of its data."""
    fix: str = ""
    seconds: float = 0.0
    stopped: bool = False
    """Whether an error kept the property from being tried to its end."""


def judge(item: Property[Subject], subject: Subject) -> Finding:
    """Try one property; whatever the plugin raises is a finding, placed in its code where that is known."""
    started = time.monotonic()
    state: State = "wrong"
    note = place = ""
    fix, stopped = item.fix, False
    try:
        item.check(subject)
    except Wrong as error:
        note, place, fix = str(error), error.place or _place(subject), error.fix or fix
    except NotApplicable as error:
        state, note = "skipped", str(error)
    except BenchError as error:
        note = ": ".join(part for part in (error.message, error.cause) if part)
        place, fix, stopped = error.place or _place(subject), error.fix or fix, True
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin can fail in any way that Python code can, and end the program
        place = _place(subject)
        line = line_of(error, place)
        note = in_words(error) + (f" ({Path(line).name})" if line else "")
        if isinstance(error, SystemExit):
            note, fix = f"it ends the program: {note}", "raise an error where something is wrong"
        elif isinstance(error, ModuleNotFoundError) and error.name:
            fix = f"install {error.name}, or correct the import"
        place, stopped = line or place, True
    else:
        state = "ok"
    seconds = time.monotonic() - started
    return Finding(item.name, state, note, place, fix if state == "wrong" else "", seconds, stopped)


def _place(subject: object) -> str:
    # Asked for where something is wrong only: Python parses a whole file for the line of a class.
    return str(getattr(subject, "place", ""))


def place_of(entry: Entry | None) -> str:
    """Return file and line of the code that a declaration names; its name where it cannot be imported."""
    if entry is None:
        return ""
    try:
        found: Any = inspect.unwrap(resolve_entry(entry))
        lines = inspect.getsourcelines(found)[1]
        return f"{inspect.getsourcefile(found)}:{max(lines, 1)}"
    except (BenchError, OSError, TypeError):
        return entry if isinstance(entry, str) else ""


def line_of(error: BaseException, place: str) -> str:
    """Return file:line of the last of the author's lines that an error went through, "" if there is none.

    The author's are those in the folder of `place`; without one, those outside of bench_core.
    """
    home = Path(place.rpartition(":")[0]).parent if ":" in place else None
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        own = home in path.parents if home is not None else _CORE not in path.parents
        if own and not frame.filename.startswith("<"):
            found = f"{frame.filename}:{frame.lineno}"
    return found


def raised_in_core(error: BaseException) -> bool:
    """Say whether it was bench_core that complained, and not the plugin that refused."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _CORE in Path(frames[-1].filename).parents


def in_words(error: BaseException) -> str:
    """Return an exception's class and the beginning of what it says, on one line."""
    try:
        text = " ".join(str(error).split())[:_LONGEST]
    except Exception:  # a __str__ is an author's code, too
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def some(names: list[str] | set[str]) -> str:
    """Return a few of the names, sorted, and how many more there are."""
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(sorted(names)[:_SOME]) + more
