"""`bench fleets`: workers elsewhere, by what a store says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.crowd import start, write


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A study of three short jobs, and executors beside it."""
    return write(tmp_path, "[dots-net]", epochs=1)


RECORDS: dict[str, Any] = {
    "not JSON": "{",
    "a list": "[]",
    "without its fields": "{}",
    "of an unknown executor": {"executor": "rqy"},
    "with options that do not exist": {"options": {"nicee": 3}},
    "with signs that act": {"label": "x\u001b[2J"},
    "with a number of workers that is none": {"workers": -1},
    "with a huge label": {"label": "x" * 10_000},
    "that names nothing that was started": {},
}


@pytest.mark.parametrize("fault", RECORDS)
def test_a_damaged_record_of_a_fleet_stops_nobody(fault: str, spec: Path, tmp_path: Path) -> None:
    data = {
        "executor": "processes", "batch": "0" * 32, "workers": 2, "options": {"nice": 0}, "label": "crowd",
        "host": "h", "started": "2026-01-01T00:00:00+00:00", "ended": None,
    }  # fmt: skip
    change = RECORDS[fault]
    folder = tmp_path / "results" / "queue" / "fleets"
    Store(tmp_path / "results", create=True)
    folder.mkdir(parents=True)
    text = change if isinstance(change, str) else json.dumps({**data, **change})
    (folder / "20260101-000000-00000000.json").write_text(text)
    (folder / "..%2f.json").write_text(text)
    shown = call_bench("fleets", spec, "--store", tmp_path / "results")
    assert shown.returncode == 0 and "\x1b" not in shown.stdout and len(shown.stdout) < 500
    unreadable = "unknown" not in fault and "do not exist" not in fault and "was started" not in fault
    assert ("20260101-000000-00000000.json: damaged file in the store" in shown.stderr) == unreadable
    status = call_bench("status", spec, "--store", tmp_path / "results")
    assert (status.returncode, "damaged file in the store" in status.stderr) == (0, unreadable)
    done = start(spec, "--executor", "inline")
    assert done.returncode == 0, done.stderr


def test_a_fleet_that_is_being_started_cannot_be_stopped_yet(spec: Path, tmp_path: Path) -> None:
    data = {
        "executor": "processes", "batch": "0" * 32, "workers": 2, "options": {"nice": 0}, "label": "",
        "host": "h", "started": "2026-01-01T00:00:00+00:00", "ended": None,
    }  # fmt: skip
    store = Store(tmp_path / "results", create=True)
    folder = store.path / "queue" / "fleets"
    folder.mkdir(parents=True)
    (folder / "20260101-000000-00000000.json").write_text(json.dumps(data))
    done = call_bench("fleets", spec, "--store", store.path, "--kill")
    assert done.returncode == 2 and done.stderr.count("error: ") == 1
    assert "cannot be stopped yet" in done.stderr and "being started from h" in done.stderr


def test_fleets_of_a_store_that_is_not_there_are_not_looked_for(spec: Path, tmp_path: Path) -> None:
    done = call_bench("fleets", spec, "--store", tmp_path / "nowhere", "--kill")
    assert done.returncode == 0 and f"there is no store {tmp_path / 'nowhere'}" in done.stdout
    assert json.loads(call_bench("fleets", spec, "--store", tmp_path / "nowhere", "--json").stdout) == []


@pytest.mark.parametrize("place", ["fleets", "batches"])
def test_a_queue_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    place: str, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "results", create=True)
    folder, iterdir = store.path / "queue" / place, Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    asked: list[str | Path] = (
        ["fleets", spec, "--store", store.path] if place == "fleets" else ["worker", store.path]
    )
    done = call_bench(*asked)
    assert done.returncode == 2 and f"{folder}: cannot read the store" in done.stderr
    assert "fix: ask its owner" in done.stderr and done.stderr.count("error: ") == 1
