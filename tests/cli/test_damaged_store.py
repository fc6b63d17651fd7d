"""Whatever bytes lie in a store, commands end with a documented exit code and never with a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.bench import assert_it_ends_in_words
from tests.helpers.changing import changed
from tests.helpers.small_study import load, run

COMMANDS = ("show", "status", "verify", "report")
JSON_FILES = (files.RESULT, files.JOB, files.MANIFEST)
FILES = (*JSON_FILES, files.COUNTS, files.CASES, files.PREDICTIONS)


@dataclass(frozen=True)
class Sealed:
    """A store with one sealed job of three."""

    spec: Path
    store: Path
    digest: str
    page: Path

    @property
    def folder(self) -> Path:
        return self.store / "jobs" / self.digest

    def call(self, command: str) -> None:
        words = {
            "show": [self.digest],
            "status": [self.spec],
            "verify": [self.spec],
            "report": [self.spec, "--out", self.page],
        }[command]
        shutil.rmtree(self.page, ignore_errors=True)
        assert_it_ends_in_words(command, *words, "--store", self.store)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    base = tmp_path_factory.mktemp("damaged")
    loaded, plan = load(base / "spec", epochs=1)
    run(plan.jobs[0], Store(base / "results", create=True), loaded.registry)
    return Sealed(base / "spec" / "spec.yaml", base / "results", plan.jobs[0].digest, base / "page")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_whole_store_is_read(sealed: Sealed, command: str) -> None:
    sealed.call(command)


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([[[]]]),
    st.just({"": {"a": 1}}),
    st.sampled_from(["../../etc", "\x1b[31m", "\ud800", "9" * 5000, 1e400, -0.0, 2**63]),
)
QUICK = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


def places(data: Any) -> list[tuple[Any, Any]]:
    """Return every container and key of nested JSON data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = []
    for key, value in items:
        found += [(data, key), *places(value)]
    return found


@QUICK
@given(
    command=st.sampled_from(COMMANDS),
    name=st.sampled_from(JSON_FILES),
    choice=st.integers(0, 10**6),
    value=ODD,
    gone=st.booleans(),
    resealed=st.booleans(),
)
def test_no_value_in_a_file_ends_in_a_traceback(
    sealed: Sealed, command: str, name: str, choice: int, value: Any, gone: bool, resealed: bool
) -> None:
    def change(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        found = places(data)
        holder, key = found[choice % len(found)]
        if gone:
            del holder[key]
        else:
            holder[key] = value
        (folder / name).write_text(json.dumps(data))

    with changed(sealed.folder, change, sealed=resealed and name != files.MANIFEST):
        sealed.call(command)


DEEP = b"[["
"""Stands for brackets deeper than any parser goes."""


def mangled(content: bytes, share: float, length: int, filling: bytes) -> bytes:
    """Replace a stretch of bytes: cut off, overwritten, or with more in between."""
    filling = b"[" * 10**5 if filling == DEEP else filling
    start = int(share * len(content))
    return content[:start] + filling + content[start + length :]


@QUICK
@given(
    command=st.sampled_from(COMMANDS),
    name=st.sampled_from(FILES),
    share=st.floats(0, 1),
    length=st.sampled_from([0, 1, 4, 100, 10**9]),
    filling=st.one_of(st.binary(max_size=8), st.sampled_from([b"\n", b",", b"-1", b"\0" * 64, DEEP])),
    resealed=st.booleans(),
)
def test_no_bytes_in_a_file_end_in_a_traceback(
    sealed: Sealed, command: str, name: str, share: float, length: int, filling: bytes, resealed: bool
) -> None:
    content = (sealed.folder / name).read_bytes()
    changes: Callable[[Path], object] = lambda folder: (folder / name).write_bytes(  # noqa: E731
        mangled(content, share, length, filling)
    )
    with changed(sealed.folder, changes, sealed=resealed and name != files.MANIFEST):
        sealed.call(command)
