"""Forgeries that were tried on finished stores: which check finds each is a table of docs/verify.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.forgery_list import BEYOND, FORGERIES
from tests.helpers.forgery_table import ALL, HEADER, copied, forge, line, row_of
from tests.helpers.verified_study import Finished

pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
ROWS = {row[0]: row[1:] for row in ROW.findall(PAGE)}
ONLY_IMAGES_TELL = {"case_image", "weights_other", "weights_random"}
"""Of the list, those that leave every file in agreement: only an image, or a network on one, contradicts."""


def each() -> Iterator[Any]:
    """Yield every forgery: the first of those that the same checks find, the others for the slow suite."""
    seen = set()
    for name in ALL:
        found = ROWS.get(name, (name,))[1:]
        yield pytest.param(name, marks=[pytest.mark.slow] if found in seen else [])
        seen.add(found)


@pytest.mark.parametrize("name", each())
def test_a_forgery_is_found_by_the_checks_that_the_page_names(
    verified_study: Finished, tmp_path: Path, name: str
) -> None:
    forged = copied(verified_study, tmp_path / "results")
    forge(name, forged)
    row = row_of(name, verified_study, forged.store)
    assert row == ROWS.get(name), line(name, row)


def test_the_page_has_each_forgery_once_and_counts_them() -> None:
    assert HEADER in PAGE and list(ROWS) == list(ALL) and len(FORGERIES) == 63
    missed = {name for name in FORGERIES if ROWS[name][1] == "-"}
    assert missed == ONLY_IMAGES_TELL
    said = f"{63 - len(missed)} of the 63 are found without the data, and all with them"
    assert said in PAGE.replace("\n", " ")
    assert all(any(cell != "-" for cell in ROWS[name][1:]) for name in FORGERIES)
    beyond = {name for name in BEYOND if all(cell == "-" for cell in ROWS[name][1:])}
    assert beyond == {"losses_with_log"}, "nothing but training again contradicts losses"
