"""The suite does not look at the folder that it was started in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_store_of_an_earlier_run_changes_no_test(tmp_path: Path) -> None:
    for part in ("jobs", "running", "claims", "failed"):
        (tmp_path / "results" / part).mkdir(parents=True)
    (tmp_path / "results" / "store.json").write_text('{"format": 1}')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "people or store"]
    done = subprocess.run(
        [*command, str(REPOSITORY / "tests" / "plan" / "test_plan_command.py")],
        cwd=tmp_path,
        env={**os.environ, "SEGTRIAL_STORE": str(tmp_path / "results")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
