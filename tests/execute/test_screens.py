"""What becomes of a run whose screen goes away: the run is not for the screen."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench_core.store.store import Store
from tests.helpers.small_study import write_spec

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 200


def command(spec: Path, store: Path) -> str:
    call = f"{sys.executable} -m tests.helpers.bench run {spec} --store {store} --device cpu --workers 1"
    return f"{call} --only fold=0,1"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "way"),
    [
        ("", "| head -1"),
        ("FORCE_COLOR=1", "| head -1"),
        ("", "--json | head -1"),
        ("", "> /dev/full"),
        ("", ">&-"),
        ("", ">&- 2>&- <&-"),
    ],
)
def test_a_screen_that_is_gone_costs_no_job(tmp_path: Path, before: str, way: str) -> None:
    spec, store = write_spec(tmp_path / "spec", epochs=2), tmp_path / "results"
    done = shell(f"{before} {command(spec, store)} {way}")
    assert done.returncode == 0, done.stderr
    assert sorted(Store(store).states().values()) == ["done", "done"]
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert list(Store(store).claims.iterdir()) == []


@pytest.mark.slow
def test_the_exit_code_of_failed_jobs_is_kept_without_a_screen(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", models="[broken-net]", epochs=1), tmp_path / "results"
    assert shell(f"{command(spec, store)} > /dev/full").returncode == 1


def test_other_commands_say_that_the_screen_is_full(tmp_path: Path) -> None:
    done = shell(f"{sys.executable} -m tests.helpers.bench schema > /dev/full")
    assert done.returncode == 2 and "No space left" in done.stderr and "Traceback" not in done.stderr
    assert shell(f"{sys.executable} -m tests.helpers.bench schema | head -1").returncode == 0


@pytest.mark.parametrize(
    "told", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["with SIGHUP", "in silence"]
)
@pytest.mark.slow
def test_a_closed_terminal(tmp_path: Path, told: bool) -> None:
    """A shell passes SIGHUP on when its window is closed: the run stops. In silence (nohup) it continues."""
    epochs = 60 if told else 3
    spec, store = write_spec(tmp_path / "spec", models="[slow-net]", epochs=epochs), tmp_path / "results"
    code = tmp_path / "code.txt"
    child, screen = pty.fork()
    if child == 0:
        os.chdir(REPOSITORY)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        # The shell ignores the signal to tell us the exit code; its child takes the default back.
        line = f"trap '' HUP; {python_with_hangup()} {command(spec, store)}; echo $? > {code}"
        os.execvp("bash", ["bash", "-c", line])
    try:
        while not list(store.glob("running/*/state-*.pt")):
            os.read(screen, 4096)
        group = os.tcgetpgrp(screen)
    finally:
        os.close(screen)
    if told:
        os.killpg(group, signal.SIGHUP)
    until = time.monotonic() + PATIENCE
    while not code.exists() or not code.read_text().strip():
        assert time.monotonic() < until, "it hangs"
        time.sleep(0.1)
    os.waitpid(child, 0)
    assert code.read_text().strip() == ("130" if told else "0")
    assert list(Store(store).claims.iterdir()) == [] and list(Store(store).failed.iterdir()) == []
    assert bool(list(store.glob("running/*/state-*.pt"))) == told


def python_with_hangup() -> str:
    """Return a prefix that runs a command with the default for SIGHUP, which a shell passes on as ignored."""
    body = (
        f"import os, signal, sys; signal.signal({int(signal.SIGHUP)}, signal.SIG_DFL); "
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    return f'{sys.executable} -c "{body}"'
