"""Whatever a layout's own JSON file holds, reading ends in an error of the data or in samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core.errors import DataError
from tests.helpers.layouts import WRITERS, opened

TABLES = {
    "nnunet": "Dataset901_Eyes/dataset.json",
    "monai-decathlon": "dataset.json",
    "coco": "annotations.json",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name in TABLES:
        root = tmp_path_factory.mktemp(name) / "data"
        WRITERS[name](root)
        shutil.copy(root / TABLES[name], root / "whole.json.txt")
        found[name] = root
    return found


def places(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to each value in a document."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [here, *(way for key, value in inner for way in places(value, (*here, key)))]


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=VALUES)
def test_any_value_anywhere_is_refused_or_read(
    name: str, data: st.DataObject, value: Any, folders: dict[str, Path]
) -> None:
    root = folders[name]
    table = json.loads((root / "whole.json.txt").read_text())
    way = data.draw(st.sampled_from(places(table)))
    if way:
        inner = table
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = value
    else:
        table = value
    (root / TABLES[name]).write_text(json.dumps(table))
    reader = opened(name, root)
    try:
        samples = reader.samples()
        for sample in samples:
            assert all(root in path.parents for path in sample.files)
            reader.read(sample)
    except DataError as error:
        assert error.place
