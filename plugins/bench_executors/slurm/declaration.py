"""What the executor `slurm` declares."""

from __future__ import annotations

from bench_core import ExecutorDeclaration, Option
from bench_executors.slurm.script import PAUSE_SECONDS


def _text(help: str) -> Option:
    return Option(type=str, default=None, help=help)


SLURM = ExecutorDeclaration(
    name="slurm",
    start="bench_executors.slurm.fleet:start",
    attach="bench_executors.slurm.fleet:attach",
    lacking="bench_executors.slurm.commands:lacking",
    help="an array of equal workers, requeued at the time limit and on preemption; needs sbatch, no package",
    options={
        "partition": _text("Where to queue; without it, the cluster's default."),
        "account": _text("Whom the time is charged to."),
        "qos": _text("Quality of service."),
        "time": _text('Time limit of one worker, in quotes: "4:00:00", "1-12". Workers are requeued at it.'),
        "margin": Option(
            type=int,
            default=300,
            minimum=10,
            maximum=65535,
            help="Seconds before the time limit at which a worker gives its job back.",
        ),
        "cpus": Option(
            type=int, default=None, minimum=1, help="CPU cores of a worker; else its threads and loaders."
        ),
        "memory": _text(
            "Main memory of a worker, as 16G; without it, what is known or the cluster's default."
        ),
        "gpu_type": _text("Type of GPU, as a100, where the cluster has several."),
        "constraint": _text("Features that a node must have."),
        "starts": Option(
            type=int,
            default=None,
            minimum=1,
            help="Elements of the array, where more are wanted than run at once.",
        ),
        "pause": Option(
            type=int,
            default=PAUSE_SECONDS,
            minimum=0,
            maximum=86400,
            help="Seconds before a worker that could not work (a full disk) tries again.",
        ),
        "directives": Option(
            type=list, default=[], help='More options of sbatch, one per item: "--exclude=n7".'
        ),
        "setup": Option(
            type=list, default=[], help='Lines of the script before the worker: "module load cuda".'
        ),
    },
)
