"""`python -m tests.helpers.bench`: the installed command, without looking for it on the path."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from bench_core.cli.main import main, run

BENCH = (sys.executable, "-m", "tests.helpers.bench")
_QUICK = Path(__file__).with_name("quick_torch")
QUICK_TORCH = {"PYTHONPATH": os.pathsep.join(filter(None, (str(_QUICK), os.environ.get("PYTHONPATH"))))}
"""Variables with which `bench doctor` asks a torch that takes no seconds to import."""


def run_bench(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `bench` in a process of its own, in `cwd` (default: the suite's empty working folder)."""
    return subprocess.run(
        [*BENCH, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def call_bench(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `bench` in this process, which takes a tenth of the time, where nothing of a process is asked."""
    words = ["bench", *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        chdir(cwd or Path.cwd()),
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", words),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        code = run()
    return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())


def assert_it_ends_in_words(*arguments: str | Path) -> None:
    """Call `bench` in this process; it must end with a documented code and no traceback, whatever it read."""
    done = call_bench(*arguments)
    assert done.returncode in (0, 1, 2)
    assert "Traceback" not in done.stdout + done.stderr


if __name__ == "__main__":
    main()
