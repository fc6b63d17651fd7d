"""`python -m tests.helpers.bench`: the installed command, without looking for it on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench_core.cli.main import main

BENCH = (sys.executable, "-m", "tests.helpers.bench")


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


if __name__ == "__main__":
    main()
