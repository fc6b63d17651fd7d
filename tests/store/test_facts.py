"""Facts of pictures are checked when they are read: whatever a forged file says ends in one error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core.errors import StoreError
from bench_core.store.folder import read_cases

GOOD = {"id": "a", "rank": "best", "dice": 0.5}


def write(folder: Path, facts: Any) -> None:
    image, mask = np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2), np.uint8)
    np.savez(
        folder / "cases.npz", facts=np.array(json.dumps(facts)), image0=image, mask0=mask, prediction0=mask
    )


def test_good_facts_are_read(tmp_path: Path) -> None:
    write(tmp_path, [GOOD])
    (case,) = read_cases(tmp_path)
    assert (case.id, case.rank, case.dice) == ("a", "best", 0.5)


@pytest.mark.parametrize(
    "facts",
    [
        [GOOD | {"id": ["a"]}],
        [GOOD | {"rank": "first"}],
        [GOOD | {"rank": ["best"]}],
        [GOOD | {"dice": "0.5"}],
        [GOOD | {"dice": 2}],
        [GOOD | {"dice": True}],
        [["a", "best", 0.5]],
        [{"id": "a"}],
        {"id": "a"},
        3,
        None,
    ],
)
def test_other_facts_end_in_one_error_with_the_fix(tmp_path: Path, facts: Any) -> None:
    write(tmp_path, facts)
    with pytest.raises(StoreError, match="damaged file in the store") as caught:
        read_cases(tmp_path)
    assert "cases.npz" in str(caught.value) and "rm -r" in str(caught.value)
