"""Slurm's own commands: sbatch, squeue, scancel and scontrol, and what they say when they refuse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from bench_core.errors import BenchError

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
PATIENCE_SECONDS = 120.0
"""How long a controller may take to answer; sbatch itself tries again for a while."""
MAX_ARRAY_SIZE = 1001
"""Slurm's own default, where it does not tell (man slurm.conf, MaxArraySize)."""
_FIXES = (
    ("account", "set runtime.executors.slurm.account; yours are listed by: sacctmgr show associations"),
    ("partition", "set runtime.executors.slurm.partition; all are listed by: sinfo"),
    ("qos", "set runtime.executors.slurm.qos; all are listed by: sacctmgr show qos"),
    ("time limit", "set a shorter runtime.executors.slurm.time; limits are listed by: sinfo"),
    ("job violates accounting/qos policy", "use fewer --workers, or another qos"),
    ("submit limit", "use fewer --workers"),
    (
        "memory specification can",
        "set a smaller runtime.executors.slurm.memory, or smaller sizes in runtime.memory",
    ),
    ("invalid --mem", 'write runtime.executors.slurm.memory as Slurm does: "16G"'),
    ("configuration is not available", "ask for less: fewer cpus, less memory, another gpu_type; see: sinfo"),
    ("gres", "set runtime.executors.slurm.gpu_type to one that sinfo -o %G lists"),
    ("memory", "set a smaller runtime.executors.slurm.memory"),
    ("feature", "set runtime.executors.slurm.constraint to a feature that sinfo -o %f lists"),
    (
        "configuration source",
        "run it on a node of the cluster, or set SLURM_CONF to the path of its slurm.conf",
    ),
    ("contact slurm controller", "wait until the controller answers; ask it with: scontrol ping"),
)
"""What Slurm's words hold, and what helps."""


JOB = re.compile(r"(?P<number>[0-9]{1,10})(;(?P<cluster>[A-Za-z0-9_][\w.-]{0,99}))?", re.ASCII)
"""A job as `sbatch --parsable` names it: with its cluster where that is another than this machine's."""

_ANOTHER_QUESTION = ("SQUEUE_", "SCANCEL_")
"""Variables of a user's shell that would hide jobs in the queue, or keep them from being cancelled."""
_ANOTHER_CLUSTER = "SLURM_CLUSTERS"
"""A variable that sends every command there, whatever cluster a job is on."""
_NEVER = frozenset({"SBATCH_ARRAY_INX", "SBATCH_ERROR", "SBATCH_NO_REQUEUE", "SBATCH_WAIT"})
_INSTEAD_OF = {
    **{f"SBATCH_{name.upper().replace('-', '_')}": name for name in
       ("account", "constraint", "gres", "job-name", "open-mode", "output", "partition", "qos", "requeue",
        "signal")},
    "SBATCH_TIMELIMIT": "time",
    **{f"SBATCH_MEM_PER_{name}": "mem" for name in ("CPU", "GPU", "NODE")},
    **{f"SBATCH_GPUS{name}": "gres" for name in ("", "_PER_NODE", "_PER_TASK")},
}  # fmt: skip
"""Variables that sbatch follows rather than the option in a script (man sbatch, input environment)."""


class SlurmError(BenchError):
    """Slurm is not there, does not answer or refuses."""


def lacking() -> str:
    """Return which of Slurm's commands this machine lacks, "" where it has all."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"there is no {', '.join(missing)} on the PATH" if missing else ""


def call(program: str, *arguments: str, text: str = "") -> str:
    """Run one of Slurm's commands, with `text` as its input, and return what it prints; raises SlurmError.

    Ctrl-C in the terminal is for this process alone.
    """
    against = {name for name in os.environ if name.startswith(_ANOTHER_QUESTION)}
    if program in ("squeue", "scancel"):
        against.add(_ANOTHER_CLUSTER)
    if program == "sbatch":
        against.update(overriding(text, os.environ))
    try:
        done = subprocess.run(
            [program, *arguments],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_SECONDS,
            env={name: value for name, value in os.environ.items() if name not in against},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise SlurmError(
            f"there is no {program} on this machine",
            cause="Slurm's commands are not on the PATH",
            fix="log in to a node of the cluster that may submit, or load its module (module load slurm)",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SlurmError(
            f"{program} does not answer", cause=f"waited {PATIENCE_SECONDS:g} s", fix="scontrol ping"
        ) from error
    except OSError as error:
        raise SlurmError(f"{program} cannot be run", cause=str(error), fix="scontrol ping") from error
    if done.returncode != 0:
        said = _last_words(done.stderr) or _last_words(done.stdout) or f"exit code {done.returncode}"
        raise SlurmError(f"Slurm refuses: {program}", cause=said, fix=_fix(program, said))
    return done.stdout


def overriding(script: str, environment: Mapping[str, str]) -> list[str]:
    """Return the variables because of which sbatch would not do what a script says."""
    said = set(re.findall(r"^#SBATCH --([a-z-]+)", script, re.MULTILINE))
    return sorted(name for name in environment if name in _NEVER or _INSTEAD_OF.get(name) in said)


def submit(script: str, arguments: Sequence[str] = ()) -> str:
    """Submit a script and return the job (see JOB); raises SlurmError with Slurm's own words."""
    said = call("sbatch", "--parsable", *arguments, text=script)
    job = (said.strip().splitlines()[-1:] or [""])[0]
    if JOB.fullmatch(job) is None:
        raise SlurmError("sbatch did not name the job", cause=_last_words(said), fix="squeue --me")
    return job


def cancel(job: str, *arguments: str) -> None:
    """Cancel or signal a job, wherever it is; raises SlurmError. One that has ended is not an error."""
    call("scancel", "--quiet", *arguments, *_where(job), _number(job))


def largest_index() -> int:
    """Return the largest index of an array that this cluster takes."""
    try:
        said = call("scontrol", "show", "config")
    except SlurmError:
        return MAX_ARRAY_SIZE - 1
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return max(1, (int(found[1]) if found else MAX_ARRAY_SIZE) - 1)


def in_queue(jobs: Sequence[str]) -> int | None:
    """Return how many elements of these jobs wait or run; None where Slurm does not tell."""
    count = 0
    for job in jobs:
        try:
            said = call(
                "squeue", "--noheader", "--array", "--format=%i", *_where(job), f"--jobs={_number(job)}"
            )
        except SlurmError as error:
            if "Invalid job id" not in (error.cause or ""):
                return None
            # It ended so long ago that Slurm has forgotten it.
            continue
        # Where there are several clusters, one of the lines names the cluster.
        count += sum(line[:1].isdigit() for line in said.splitlines())
    return count


def _number(job: str) -> str:
    return job.partition(";")[0]


def _where(job: str) -> list[str]:
    cluster = job.partition(";")[2]
    return [f"--clusters={cluster}"] if cluster else []


def _last_words(text: str) -> str:
    """Return what a command said, without its name in front, on one line."""
    lines = [re.sub(r"^\w+: (error: |fatal: )?", "", line.strip()) for line in text.splitlines()]
    return "; ".join(line for line in lines if line)[-500:]


def _fix(program: str, said: str) -> str:
    for words, fix in _FIXES:
        if words in said.lower():
            return fix
    return f"read what it means: man {program}"
