"""Code of plugins, called so that whatever it does ends in one PluginError that names it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

from bench_core.errors import BenchError, PluginError

Result = TypeVar("Result")
_LONGEST, _LONGEST_VALUE = 300, 100
"""Characters of a plugin's own words, and of a value, that a message repeats."""


def call(
    what: str,
    function: Callable[[], Result],
    *,
    place: str | None = None,
    expected: tuple[type[Exception], ...] = (),
) -> Result:
    """Return what a plugin's function returns; `what` names it in messages: "bench_models of plugin x".

    Raises PluginError where it raises anything or ends the program; errors meant for users (BenchError),
    `expected` ones and Ctrl-C pass. What it prints goes to stderr, since stdout may be read by a program.
    """
    try:
        with printing_to_stderr():
            return function()
    except (BenchError, KeyboardInterrupt):
        raise
    except expected:
        raise
    except SystemExit as error:
        raise PluginError(
            f"{what} ends the program: {told(error)}",
            place=place,
            fix="keep such code under `if __name__ == '__main__':`",
        ) from error
    except BaseException as error:
        raise PluginError(f"{what} failed: {told(error)}", place=place) from error


def told(error: BaseException) -> str:
    """Return an exception's class and first words, even where it cannot print itself."""
    text = _short(lambda: str(error), _LONGEST)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shown(value: object) -> str:
    """Return a value as code shows it, or its type where it cannot show itself."""
    return _short(lambda: repr(value), _LONGEST_VALUE) or f"something of type {type(value).__name__}"


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Send what is printed to stderr; closing stdout closes nothing."""
    with redirect_stdout(_ToStderr()):
        yield


class _ToStderr(io.TextIOBase):
    """A stream that outlives whoever closes it: a plugin may keep it for good, in a logging handler."""

    def write(self, text: str) -> int:
        stream = sys.stderr
        return stream.write(text) if stream is not None else len(text)

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()

    def close(self) -> None:
        """Stay open."""

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True


def _short(text: Callable[[], Any], longest: int) -> str:
    try:
        first = next((line for line in str(text()).splitlines() if line.strip()), "")
    except KeyboardInterrupt:
        raise
    except BaseException:  # A __str__ or __repr__ is a plugin's code, too.
        return ""
    return first if len(first) <= longest else f"{first[:longest]}..."
