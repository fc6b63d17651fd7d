"""The script that starts a worker: one text, submitted by the executor and printed by `bench slurm`."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_core.declarations import FleetRequest
from bench_core.errors import BenchError
from bench_core.text import hidden_in
from bench_executors.slurm.times import seconds_of

PATHS = "PYTHONPATH"
_OPTIONS = {"mem": "memory", "gres": "gpu_type"}
"""Options of sbatch that a spec calls otherwise."""
_BODY = """\
# Slurm sends USR1 before the time limit, to this shell alone, and TERM to all when it preempts, requeues or
# cancels. The worker then gives its job back, which resumes from its last whole epoch, and ends with 130.
worker=
# A user's variables could hide this job from squeue below, or ask another cluster.
unset "${!SQUEUE_@}" SLURM_CLUSTERS
trap '[ -z "$worker" ] || kill -TERM "$worker" 2>/dev/null || :' USR1
trap : TERM

run_worker() {
  {command} &
  worker=$!
  # A signal ends `wait` before the worker has ended.
  while wait "$worker"; kill -0 "$worker" 2>/dev/null; do :; done
  wait "$worker"
}

# While Slurm counts the job as running it is started again later, in its place in the array. One that was
# cancelled stays so, and one that is preempted comes back by itself.
requeue() {
  if [ "$(squeue --noheader --job="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then
    echo "requeued: {why}"
    # Slurm ends this script.
    scontrol requeue "$SLURM_JOB_ID" && sleep 300
  fi
}

for attempt in {attempts}; do
  code=0
  run_worker || code=$?
  case $code in
    0) exit 0 ;;            # nothing is left to do
    1) exit 1 ;;            # a job failed by itself, as with a loss that became NaN
    130 | 138 | 143)        # stopped by a signal
      requeue || :
      exit $code ;;
    2) sleep {pause} ;;     # could not work, as with a full disk
    *) sleep 1 ;;           # killed or crashed
  esac
  echo "the worker ended with $code, attempt $attempt"
done
exit $code
"""
ATTEMPTS = 5
"""How often a worker that crashes is started within one allocation."""
_BASH_SECONDS = 60.0
PAUSE_SECONDS = 60
"""Before a worker that could not work is started again."""


def script(request: FleetRequest, options: Mapping[str, Any], largest_index: int) -> str:
    """Return the script of a fleet; `largest_index` is the largest index of an array that Slurm takes.

    Raises BenchError for an option that cannot stand in it.
    """
    elements = elements_of(request, options)
    head = [f"#SBATCH {line}" for line in _directives(request, options)]
    head.append(f"#SBATCH {array(1, min(elements, largest_index), request.workers)}")
    setup = [_line("setup", text) for text in options["setup"]]
    _check_setup(setup)
    if "\\" in str(request.folder):
        # A backslash in --output would switch %A and %a off.
        folder = shlex.quote(str(request.folder))
        setup.insert(0, f'exec >>{folder}/"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID.log" 2>&1')
    carried = [
        f"export {name}={shlex.quote(_line(name, value))}" for name, value in sorted(_carried().items())
    ]
    body = _BODY
    for name, value in {
        "{command}": shlex.join(_command(request, options)),
        "{why}": "its worker was stopped before nothing was left to do",
        "{attempts}": " ".join(str(number + 1) for number in range(ATTEMPTS)),
        "{pause}": str(options["pause"]),
    }.items():
        body = body.replace(name, value)
    parts = ["\n".join(["#!/bin/bash", *head])]
    parts += ["\n".join([*carried, *setup])] if carried or setup else []
    return "\n\n".join([*parts, body])


def elements_of(request: FleetRequest, options: Mapping[str, Any]) -> int:
    """Return how many elements all arrays of a fleet have together."""
    return max(request.workers, options["starts"] or 0)


def array(first: int, last: int, at_once: int) -> str:
    """Return the option of sbatch for an array, of whose elements `at_once` run at the same time."""
    return f"--array={first}-{last}" + (f"%{at_once}" if at_once < last - first + 1 else "")


def _command(request: FleetRequest, options: Mapping[str, Any]) -> list[str]:
    if options["time"] is None:
        return list(request.command)
    seconds = _seconds(options["time"]) - options["margin"]
    if seconds <= 0:
        raise BenchError(
            f"nothing is left of the time limit {options['time']}",
            place="runtime.executors.slurm",
            cause=f"workers end {options['margin']} s (margin) before it",
            fix="set a longer time, or a shorter margin",
        )
    return [*request.command, "--until", f"{seconds}s"]


def _directives(request: FleetRequest, options: Mapping[str, Any]) -> Iterator[str]:
    yield _option("job-name", request.name)
    yield _option("comment", f"segtrial workers of {request.name}")
    # %A and %a are the array's number and the element's; a path's own percent signs are doubled.
    folder = str(request.folder).replace("%", "%%")
    yield "--output=/dev/null" if "\\" in folder else _option("output", f"{folder}/%A_%a.log")
    yield "--open-mode=append"
    yield "--nodes=1"
    yield "--ntasks=1"
    yield f"--cpus-per-task={options['cpus'] or request.cores}"
    for name in ("partition", "account", "qos", "constraint", "time"):
        if options[name] is not None:
            yield _option(name, options[name])
    if options["memory"] is not None:
        yield _option("mem", options["memory"])
    elif request.memory is not None:
        yield f"--mem={-(-request.memory // 2**20)}M"
    if request.devices:
        if options["gpu_type"] == "":
            _option("gres", "")
        kind = "" if options["gpu_type"] is None else f":{options['gpu_type']}"
        yield _option("gres", f"gpu{kind}:{request.devices}")
    yield "--requeue"
    yield f"--signal=B:USR1@{options['margin']}"
    for text in options["directives"]:
        if not _line("directives", text).startswith("-"):
            raise BenchError(
                "an item of directives is not an option of sbatch",
                place="runtime.executors.slurm.directives",
                cause=f"it is {text!r:.80}",
                fix='write it as in a script: "--exclude=n7"',
            )
        yield text


def _carried() -> dict[str, str]:
    """Return the variables that count, for whoever submits the script from another shell and folder."""
    carried = {name: value for name, value in os.environ.items() if name.startswith("SEGTRIAL_")}
    if os.environ.get(PATHS):
        carried[PATHS] = os.pathsep.join(
            str(Path(text).absolute()) for text in os.environ[PATHS].split(os.pathsep)
        )
    return carried


def _check_setup(lines: Sequence[str]) -> None:
    """Raise BenchError where bash cannot read these lines, or would take lines after them for their rest."""
    with suppress(OSError, subprocess.TimeoutExpired):
        # With extglob, since one of the lines may switch it on.
        done = subprocess.run(
            ["bash", "-O", "extglob", "-n"],
            input="\n".join([*lines, ""]),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_BASH_SECONDS,
            env={**os.environ, "LC_ALL": "C", "BASH_ENV": ""},
        )
        if done.returncode or done.stderr:
            raise BenchError(
                "bash cannot read the lines of setup",
                place="runtime.executors.slurm.setup",
                cause=done.stderr.strip().partition("\n")[0].removeprefix("bash: "),
                fix="end in them every quote, `if`, loop and here-document that they begin",
            )


def _seconds(text: str) -> int:
    try:
        return seconds_of(text)
    except ValueError as error:
        raise BenchError(
            "not a time limit",
            place="runtime.executors.slurm.time",
            cause=str(error),
            fix='as time: "4:00:00"',
        ) from error


def _option(name: str, value: str) -> str:
    """Return an option as sbatch reads it from a script, where quotes and backslashes act as in a shell."""
    if not _line(name, value):
        raise BenchError(
            f"{_OPTIONS.get(name, name)} is empty",
            place=f"runtime.executors.slurm.{_OPTIONS.get(name, name)}",
            fix="leave it out, and the cluster's default counts",
        )
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    plain = escaped == value and all(letter.isalnum() or letter in "-_./:%,=@+" for letter in value)
    return f"--{name}={value}" if plain else f'--{name}="{escaped}"'


def _line(name: str, text: object) -> str:
    """Return text that stays on its line; raises BenchError for any other."""
    if not isinstance(text, str):
        raise BenchError(
            f"{name} holds something that is not text",
            place=f"runtime.executors.slurm.{name}",
            cause=f"it is {text!s:.80}",
            fix="put each line in quotes",
        )
    hidden = hidden_in(text, name=True)
    if hidden is not None:
        raise BenchError(
            f"{name} cannot stand in a script for Slurm",
            cause=f"it holds {hidden}",
            fix="write one line of text",
        )
    return text


def write_script(folder: Path, text: str) -> Path:
    """Write the script into a fleet's folder and return its path."""
    path = folder / "worker.sh"
    path.write_text(text, encoding="utf-8")
    return path
