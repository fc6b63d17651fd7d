"""What is wrong with a published dataset's files, collected so that all of it is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_core.data.layout import LayoutError, layout_error
from bench_core.data.samples import Sample


class Problems:
    """Lines about files below a root: what no option excuses, and what `allow_missing` takes as it is."""

    def __init__(self, root: Path, *, allow_missing: bool) -> None:
        self._root = root
        self._allowed = allow_missing
        self._found: list[str] = []
        self._missing: list[str] = []

    def add(self, path: Path | str, what: str) -> None:
        """Note a problem of a file: `path: what`."""
        self._found.append(f"{self._shown(path)}: {what}")

    def missing(self, path: Path | str, what: str) -> None:
        """Note something that was published and is not there; `allow_missing` makes it a remark."""
        self._missing.append(f"{self._shown(path)}: {what}")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is missing and was allowed to be, one sentence each."""
        return tuple(f"missing and allowed: {line}" for line in self._missing) if self._allowed else ()

    def raise_all(self, usable: Sequence[Sample], *, how_to_get: str = "") -> None:
        """Raise LayoutError if there is a problem; `usable` are the samples that can be decoded anyway.

        Without `how_to_get` the data are the user's own, who corrects them or the options.
        """
        # Where nothing is left to take, leave to take what is there excuses nothing.
        excused = self._allowed and bool(usable)
        found = [*self._found, *(() if excused else self._missing)]
        if not found:
            return
        fix = (
            f"unpack it again: {how_to_get}" if how_to_get else "correct the files, or the dataset's options"
        )
        if self._missing and not self._allowed:
            fix += "; or take what is there with `allow_missing: true` in the dataset's options"
        raise layout_error(found, self._root, usable, fix=fix)

    def _shown(self, path: Path | str) -> str:
        path = Path(path)
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(path)


__all__ = ["LayoutError", "Problems"]
