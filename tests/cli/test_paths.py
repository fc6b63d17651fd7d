"""Paths on the command line that cannot be used: one error, nothing written, no traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench_core.cli.main import main
from tests.helpers.spec_files import VALID, write

LOOP, FILE, LONG = "loop", "file", "x" * 300


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write(tmp_path, VALID)
    (tmp_path / LOOP).symlink_to(LOOP)
    (tmp_path / FILE).write_text("not a folder")
    return tmp_path


@pytest.mark.parametrize("bad", [LOOP, FILE, LONG, f"{FILE}/inside", f"{LOOP}/inside", os.fsdecode(b"\xfe")])
@pytest.mark.parametrize(
    "words",
    [
        ["status", "spec.yaml", "--store"],
        ["run", "spec.yaml", "--store"],
        ["show", "abc", "--store"],
        ["logs", "abc", "--store"],
        ["verify", "spec.yaml", "--store"],
        ["report", "spec.yaml", "--out"],
        ["new", "model", "my-net", "--folder"],
        ["list", "models", "--plugin"],
        ["test", "u-net", "--plugin"],
        ["validate"],
        ["plan"],
    ],
    ids=" ".join,
)
def test_each_is_one_error(
    words: list[str],
    bad: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(here.rglob("*"))
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "argv", ["bench", *words, bad])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (1, 2)
    assert "rror" in "".join(capsys.readouterr())
    assert sorted(here.rglob("*")) == before
