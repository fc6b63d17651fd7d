"""CSV files below a dataset's root, about its samples."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

MOST_BYTES = 64 * 1024**2


def composed(text: str) -> str:
    """Return text in NFC: macOS writes accents as characters of their own."""
    return unicodedata.normalize("NFC", text)


def spellings(key: str, name: str) -> tuple[str, ...]:
    """Return how a table may write a sample: by id, or by its image's path below the root, or its name."""
    return tuple(map(composed, (key, name, Path(name).name, Path(key).name)))


def read_rows(root: Path, file: str, problems: list[str]) -> list[tuple[int, list[str]]] | None:
    """Return line number and cells of each line that is not empty.

    What fails, a file outside of the root included, is added to `problems`; then None is returned.
    """
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            problems.append(f"{file!a:.80}: lies outside of the root, from which alone files are read")
            return None
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            problems.append(f"{file}: cannot be read as CSV: it is missing, not a regular file, or too large")
            return None
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            rows = [(reader.line_num, [composed(cell.strip()) for cell in row]) for row in reader]
    except (OSError, RuntimeError, ValueError, csv.Error) as error:
        problems.append(f"{file!a:.80}: cannot be read as CSV: {error}")
        return None
    return [(number, cells) for number, cells in rows if any(cells)]
