"""What a reader says of files that are not as published: everything at once, and what it can read anyway."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_core.data.samples import Sample
from bench_core.errors import DataError

LISTED = 20
"""Problems that a message lists; the rest are counted."""


class LayoutError(DataError):
    """Problems of a dataset's files, one line each, and the samples that can be decoded nevertheless.

    Whoever hears of it may decode `usable`, so that the user is told of damaged files in the same message.
    """

    problems: tuple[str, ...] = ()
    usable: tuple[Sample, ...] = ()


def layout_error(
    problems: Sequence[str],
    root: Path,
    usable: Sequence[Sample] = (),
    *,
    cause: str | None = None,
    fix: str | None = None,
) -> LayoutError:
    """Return the error for these problems; each begins with the path below the root that it is about."""
    noun = "problem" if len(problems) == 1 else "problems"
    shown = [*problems[:LISTED]]
    if len(problems) > LISTED:
        shown.append(f"and {len(problems) - LISTED} more")
    error = LayoutError(
        f"{len(problems)} {noun} in the folder:\n  " + "\n  ".join(shown),
        place=str(root),
        cause=cause,
        fix=fix,
    )
    error.problems, error.usable = tuple(problems), tuple(usable)
    return error
