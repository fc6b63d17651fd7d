"""A process that has imported what answers to the suites' questions need, and forks for each of them.

It loads no file of a user's itself: the fork does, as a process that starts from nothing would.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

IMPORTED = {
    "samples": ("bench_core.conformance.dataset_subject",),
    "section": ("bench_core.conformance.analysis_subject", "bench_core.conformance.ground"),
    "work": ("bench_core.conformance.work_subject", "bench_core.execute.job"),
}
"""Before the fork, by question. Other questions ask what a process does that has imported nothing."""


class Answering:
    """Stands for the module `subprocess` where a suite asks another process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, command: Sequence[str], *, cwd: Path, env: dict[str, str], **settings: Any) -> Any:
        """Answer as subprocess.run would; a question that needs one is given a new process."""
        if json.loads(command[-1])["question"] not in IMPORTED:
            return subprocess.run(command, cwd=cwd, env=env, **settings)
        if self._process is None:
            started = [sys.executable, "-m", __name__]
            self._process = subprocess.Popen(
                started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"errand": command[-1], "folder": str(cwd), "environment": env}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        code, told = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(command, code, "", told)

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()


def _answer(asked: dict[str, Any], errors: int) -> None:
    """Answer as the only thing that this process does."""
    from bench_core.conformance import elsewhere

    code = 1
    with suppress(BaseException):
        for stream in (1, 2):
            os.dup2(errors, stream)
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        try:
            elsewhere.main(asked["errand"])
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Answer each line of the standard input by one of the exit code and what was said of errors."""
    from bench_core.plugins.wiring import load_registry

    load_registry()
    for line in sys.stdin:
        asked = json.loads(line)
        for name in IMPORTED[json.loads(asked["errand"])["question"]]:
            importlib.import_module(name)
        with tempfile.TemporaryFile() as errors:
            child = os.fork()
            if not child:
                _answer(asked, errors.fileno())
            _, status = os.waitpid(child, 0)
            errors.seek(0)
            told = errors.read().decode(errors="replace")
        print(json.dumps([os.waitstatus_to_exitcode(status), told]), flush=True)


if __name__ == "__main__":
    serve()
