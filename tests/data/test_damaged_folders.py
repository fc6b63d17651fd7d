"""Every way in which a folder of own images is damaged is told once, with its file, and never by a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.damaged_folders import ROWS, Row, outcome
from tests.helpers.pictures import write_folder

FEWEST = 40


def test_the_list_is_long_enough() -> None:
    assert len(ROWS) >= FEWEST


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_damaged_folder_is_told_of_once(tmp_path: Path, row: Row) -> None:
    root = write_folder(tmp_path / "data", 4)
    row.damage(root)
    message, warnings = outcome(root, tmp_path / "cache", row.options)
    said = "\n".join(warnings) if row.warning else message
    assert said.count(row.said) == 1, f"{message}\n{warnings}"
    assert bool(message) is not row.warning
    assert "bug" not in message and "Traceback" not in message


def test_a_whole_folder_says_nothing(tmp_path: Path) -> None:
    assert outcome(write_folder(tmp_path / "data", 4), tmp_path / "cache", {}) == ("", ())
