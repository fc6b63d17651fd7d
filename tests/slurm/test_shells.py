"""What the shell of whoever submits can hold: variables of Slurm, Ctrl-C, lines of setup; with stand-ins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_core.declarations import FleetRequest
from bench_core.errors import BenchError
from bench_core.options import complete_options
from bench_executors.slurm import commands
from bench_executors.slurm.declaration import SLURM
from bench_executors.slurm.fleet import attach, start
from bench_executors.slurm.script import script

REQUEST = FleetRequest(
    name="study", store=Path("/store"), command=("true",), workers=2, devices=1, folder=Path("/logs")
)
NOTE = '{ echo "${0##*/} $*"; env; } >> "$0.said"\n'
"""Of a command that stands in for one of Slurm's: it notes its options and the variables that it sees."""


def options(**given: Any) -> dict[str, Any]:
    return complete_options(SLURM.options, given)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of commands that stand in for Slurm's and note what they hear."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in commands.PROGRAMS:
        stand_in(folder, name, "")
    stand_in(folder, "sbatch", "cat > /dev/null; echo 42")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def stand_in(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{NOTE}{body}\n")
    (folder / name).chmod(0o755)


def heard(folder: Path, name: str) -> list[str]:
    path = folder / f"{name}.said"
    return path.read_text().splitlines() if path.exists() else []


def test_ctrl_c_while_sbatch_submits_leaves_no_array_behind(tmp_path: Path, slurm: Path) -> None:
    stand_in(slurm, "sbatch", 'cat > /dev/null; kill -INT "$PPID"; echo 42')
    with pytest.raises(KeyboardInterrupt):
        start(replace(REQUEST, folder=tmp_path), options())
    assert "scancel --quiet 42" in heard(slurm, "scancel")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_arrays_that_were_submitted_are_known_before_the_next_is(tmp_path: Path, slurm: Path) -> None:
    stand_in(slurm, "scontrol", 'echo "MaxArraySize = 2"')
    stand_in(slurm, "sbatch", f'cat > /dev/null; [ ! -e "{tmp_path}/jobs.json" ] || exit 1; echo 42')
    # As the file is when this process is killed in between.
    with pytest.raises(BenchError, match="refuses"):
        start(replace(REQUEST, folder=tmp_path), options())
    assert attach(tmp_path, options()).label == "Slurm job 42"


HIDING = {
    "SQUEUE_STATES": "PENDING",
    "SQUEUE_PARTITION": "x",
    "SCANCEL_INTERACTIVE": "",
    "SCANCEL_STATE": "R",
}


def test_variables_for_squeue_and_scancel_hide_no_worker(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in HIDING.items():
        monkeypatch.setenv(name, value)
    stand_in(slurm, "squeue", 'printf "CLUSTER: one\\n42_1\\n42_2\\n"')
    fleet = start(replace(REQUEST, folder=tmp_path), options())
    assert fleet.alive() == 2
    fleet.stop()
    seen = heard(slurm, "squeue") + heard(slurm, "scancel")
    assert "scancel --quiet 42" in seen
    assert not [line for line in seen if line.partition("=")[0] in HIDING]
    text = script(REQUEST, options(), 1000)
    begun = text.partition("trap ")[0] + "\nenv"
    done = subprocess.run(["bash"], input=begun, text=True, capture_output=True, check=True)
    assert "SQUEUE_" not in done.stdout and "SCANCEL_STATE" in done.stdout


def test_workers_on_another_cluster_are_asked_about_and_stopped_there(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_CLUSTERS", "far")
    stand_in(slurm, "sbatch", 'cat > /dev/null; echo "42;far"')
    start(replace(REQUEST, folder=tmp_path), options())
    monkeypatch.delenv("SBATCH_CLUSTERS")
    stand_in(slurm, "squeue", '[[ $* == *--clusters=far* ]] && printf "CLUSTER: far\\n42_1\\n42_2\\n"')
    fleet = attach(tmp_path, options())
    assert (fleet.label, fleet.alive()) == ("Slurm job 42 on far", 2)
    fleet.stop(kill=True)
    cancelled = [line for line in heard(slurm, "scancel") if line.startswith("scancel ")]
    assert len(cancelled) == 3 and all(line.endswith(" --clusters=far 42") for line in cancelled)


def test_the_shell_s_clusters_hide_no_worker_of_this_one(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = start(replace(REQUEST, folder=tmp_path), options())
    monkeypatch.setenv("SLURM_CLUSTERS", "far,further")
    stand_in(slurm, "squeue", '[ -z "$SLURM_CLUSTERS" ] && echo 42_1')
    assert fleet.alive() == 1
    fleet.stop()
    assert not [line for line in heard(slurm, "scancel") if line.startswith("SLURM_CLUSTERS")]


def test_a_worker_asks_the_cluster_that_it_runs_on(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "far,further")
    stand_in(slurm, "squeue", '[ -z "$SLURM_CLUSTERS" ] || echo "CLUSTER: far"; echo RUNNING')
    stand_in(slurm, "scontrol", "exit 1")
    text = script(replace(REQUEST, command=("bash", "-c", "exit 130")), options(), 1000)
    done = subprocess.run(
        ["bash"], input=text, text=True, capture_output=True, env={**os.environ, "SLURM_JOB_ID": "5"}
    )
    assert done.returncode == 130 and "scontrol requeue 5" in heard(slurm, "scontrol")


@pytest.mark.parametrize("told", ["42;", "42;-far", "42;far away", "42;far,near"])
def test_a_cluster_that_is_none_is_not_believed(told: str, tmp_path: Path, slurm: Path) -> None:
    stand_in(slurm, "sbatch", f'cat > /dev/null; echo "{told}"')
    with pytest.raises(BenchError, match="did not name the job"):
        start(replace(REQUEST, folder=tmp_path), options())
    (tmp_path / "jobs.json").write_text(json.dumps([told]))
    with pytest.raises(BenchError, match="cannot be read"):
        attach(tmp_path, options())


def test_what_the_script_says_counts_more_than_variables_of_sbatch(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PARTITION", "ACCOUNT", "WAIT", "ARRAY_INX", "OUTPUT", "MEM_PER_CPU", "NO_REQUEUE", "GPUS"):
        monkeypatch.setenv(f"SBATCH_{name}", "7")
    start(replace(REQUEST, folder=tmp_path), options(partition="long"))
    # What the spec leaves open is the shell's to say.
    seen = {line for line in heard(slurm, "sbatch") if line.startswith("SBATCH_")}
    assert seen == {"SBATCH_ACCOUNT=7", "SBATCH_MEM_PER_CPU=7"}


@pytest.mark.parametrize("lines", [["set -euo pipefail"], ["set -e", "trap 'echo bye' EXIT"]])
@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 1), (130, 130), (2, 2)])
def test_a_setup_that_ends_at_any_error_ends_no_worker_s_script(
    lines: list[str], code: int, ends: int, slurm: Path
) -> None:
    stand_in(slurm, "squeue", "echo RUNNING")
    stand_in(slurm, "scontrol", "exit 1")
    request = replace(REQUEST, command=("bash", "-c", f"exit {code}"))
    text = script(request, options(setup=lines, pause=0), 1000)
    done = subprocess.run(
        ["bash"], input=text, text=True, capture_output=True, env={**os.environ, "SLURM_JOB_ID": "5"}
    )
    assert done.returncode == ends, done.stderr
    assert ("scontrol requeue 5" in heard(slurm, "scontrol")) == (code == 130)
    assert done.stdout.count("the worker ended with 2") == (5 if code == 2 else 0)


@pytest.mark.parametrize(
    "lines", [["if true"], ["echo it's"], ["cat <<END", "x"], ["f() {"], ["echo a)"], ["for x in a; do", "b"]]
)
def test_lines_of_setup_that_bash_cannot_read_are_refused(lines: list[str]) -> None:
    with pytest.raises(BenchError, match="bash cannot read") as caught:
        script(REQUEST, options(setup=lines), 1000)
    assert caught.value.place == "runtime.executors.slurm.setup" and caught.value.cause and caught.value.fix


def test_lines_of_setup_that_bash_can_read_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "nowhere_NOWHERE")
    lines = ["shopt -s extglob", "ls !(a)", "if true", "then echo é", "fi", "cat <<END", "it's", "END"]
    assert "\n".join(lines) in script(REQUEST, options(setup=lines), 1000)
