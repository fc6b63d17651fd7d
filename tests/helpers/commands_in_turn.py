"""Several `bench` commands in one process, which imports once: their own output, encoding and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_core.cli.main import main

SEPARATOR = ","


def call_in_turn(
    commands: Sequence[Sequence[str]], *, cwd: Path, environment: Mapping[str, str]
) -> list[subprocess.CompletedProcess[bytes]]:
    """Run commands one after another in a process of their own, up to one that ends it."""
    words = [word for command in commands for word in (*command, SEPARATOR)]
    with tempfile.TemporaryDirectory() as name:
        start = [sys.executable, "-m", "tests.helpers.commands_in_turn", name, *words]
        subprocess.run(start, cwd=cwd, env={**os.environ, **environment}, timeout=300)
        ended = []
        for number, command in enumerate(commands[: len(list(Path(name).glob("*.code")))]):
            code, out, err = (Path(name, f"{number}.{kind}").read_bytes() for kind in ("code", "out", "err"))
            ended.append(subprocess.CompletedProcess(list(command), int(code), out, err))
        return ended


def run_each() -> None:
    """Run the commands after the first argument, a folder, with each one's output in files of that folder."""
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    number = 0
    while words:
        end = words.index(SEPARATOR)
        sys.argv, words = ["bench", *words[:end]], words[end + 1 :]
        # The process's own streams stay: what is asked is how they take a command's output.
        for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
            with (folder / f"{number}.{name}").open("wb") as file:
                os.dup2(file.fileno(), stream.fileno())
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / f"{number}.code").write_text(str(code))
        number += 1


if __name__ == "__main__":
    run_each()
