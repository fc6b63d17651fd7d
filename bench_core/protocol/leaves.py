"""The files that a job leaves in its folder, to be sealed with it: artifacts, and tables as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_core.errors import PluginError

ARTIFACTS, RECORDS = "artifacts", "records"
"""Folders of a job in which these files lie."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Leaves:
    """Gives files of the job of this name their places below `folder`, and knows which ones it gave.

    Raises PluginError for what is not a plain file name, and where there is no folder.
    """

    def __init__(self, folder: Path | None, job_name: str) -> None:
        self._folder, self._job_name = folder, job_name
        self._left: list[str] = []

    @property
    def paths(self) -> tuple[str, ...]:
        """The files so far, as paths in the job's folder."""
        return tuple(self._left)

    def artifact(self, name: str) -> Path:
        """Return the path of a file to write."""
        return self._place(ARTIFACTS, name)

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Write a table as records/NAME.csv; every row has the keys of the first.

        Raises PluginError for other keys, and for text that is not Unicode.
        """
        content = _csv(name, rows)
        self._place(RECORDS, f"{name}.csv").write_bytes(content)

    def _place(self, part: str, name: str) -> Path:
        if not is_plain(name):
            raise PluginError(
                f"{name!r} is not a name for a file",
                fix="use letters, digits, dots, dashes and underscores, without folders",
            )
        if self._folder is None:
            raise PluginError(f"{self._job_name} has no folder for {name}")
        path = self._folder / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if f"{part}/{name}" not in self._left:
            self._left.append(f"{part}/{name}")
        return path


def is_plain(name: str) -> bool:
    """Say whether a name is that of a file that a job may leave."""
    return _PLAIN_NAME.fullmatch(name) is not None


def _csv(name: str, rows: Sequence[Mapping[str, object]]) -> bytes:
    keys = list(rows[0]) if rows else []
    text = io.StringIO()
    # Readers take a bare carriage return for the end of a line, but the writer does not quote it.
    odd = any("\r" in str(cell) for row in rows for cell in (*row, *row.values()))
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL)
    writer.writerow(keys)
    for row in rows:
        if row.keys() != set(keys):
            raise PluginError(
                f"records {name!r}: a row has the columns {', '.join(row)}, not {', '.join(keys)}"
            )
        cells = (row[key] for key in keys)
        writer.writerow([repr(float(cell)) if isinstance(cell, float) else cell for cell in cells])
    try:
        return text.getvalue().encode()
    except UnicodeEncodeError as error:
        raise PluginError(f"records {name!r} cannot be written as UTF-8", cause=str(error)) from error
