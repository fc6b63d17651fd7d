"""Workers as actors of a Ray cluster, one that is there or one that is started for them on this machine.

Ray stays out of this process: it sets signal handlers, prints, and ends a process that lost its cluster. A
process beside this one (`bench_executors.ray_host`) talks to it, and outlives the command that started it.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_core.declarations import ExecutorDeclaration, FleetRequest
from bench_core.errors import BenchError, MissingDependencyError
from bench_core.files.bounded import read_json
from bench_core.install import install_command
from bench_core.options import Option
from bench_core.store.files import write_json

REQUEST, STATE, LOG = "request.json", "state.json", "ray.log"
START_SECONDS = 180.0
_HANDED_ON = ("PYTHONPATH",)
"""Variables that workers on other machines get from here, beside those of segtrial itself."""


RAY = ExecutorDeclaration(
    name="ray",
    start="bench_executors.ray:start",
    help="actors of a Ray cluster; without an address one is started on this machine for the run",
    requires=("ray",),
    install="ray",
    options={
        "address": Option(
            type=str,
            default="",
            help="HOST:PORT of the cluster's head, or auto: the cluster of this machine (RAY_ADDRESS); "
            "empty: one is started here and ends with its last worker",
        ),
        "cpus": Option(
            type=float,
            default=None,
            minimum=0,
            help="CPUs that Ray reserves for each worker; default: its cores",
        ),
        "gpus": Option(
            type=float,
            default=None,
            minimum=0,
            help="GPUs of each worker; 0.5: two share one; default: the devices of a job",
        ),
        "memory_gb": Option(
            type=float,
            default=None,
            minimum=0,
            help="main memory in GB that Ray reserves for each worker; default: what jobs may need",
        ),
        "resources": Option(
            type=dict, default={}, help="custom resources of the cluster that each worker takes, with amounts"
        ),
        "restarts": Option(
            type=int,
            default=100,
            minimum=0,
            help="how often a worker is started again after it or its node was killed",
        ),
        "autoscaling": Option(
            type=bool,
            default=False,
            help="the cluster adds nodes as needed: workers that no node can carry wait for one",
        ),
    },
)


def lacking() -> str:
    """Say in words what this machine lacks; "" where nothing."""
    return "" if importlib.util.find_spec("ray") else "the package ray is not installed"


def start(request: FleetRequest, options: Mapping[str, Any]) -> RayFleet:
    """Start the workers of `request` and return their fleet.

    Workers that the cluster cannot carry yet wait in its queue. Raises BenchError where Ray is not there, finds
    no cluster, or no node could carry a worker.
    """
    if lacking():
        raise MissingDependencyError(
            "the executor ray needs Ray", cause=lacking(), fix=install_command("ray")
        )
    needs = _needs(request, options)
    data = {
        "name": request.name,
        "command": list(request.command),
        "workers": request.workers,
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith("SEGTRIAL_") or name in _HANDED_ON
        },
        "folder": str(request.folder),
        "address": options["address"],
        "autoscaling": options["autoscaling"],
        "restarts": options["restarts"],
        "needs": needs,
    }
    write_json(request.folder / REQUEST, data)
    with (request.folder / LOG).open("ab") as log:
        host = subprocess.Popen(
            [sys.executable, "-m", "bench_executors.ray_host", str(request.folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        state = _first_state(host, request.folder)
    except BaseException:
        host.terminate()
        raise
    if "error" in state:
        host.wait()
        raise BenchError(**state["error"])
    return RayFleet(label=f"{state['cluster']}, kept by process {host.pid}", host=host, folder=request.folder)


@dataclass(frozen=True)
class RayFleet:
    """Workers on a Ray cluster, kept by a process of this machine that ends when they have ended."""

    label: str
    host: subprocess.Popen[bytes]
    folder: Path

    def alive(self) -> int | None:
        """Return how many workers have not ended; None if the process that knows has died."""
        gone = self.host.poll() is not None
        state = read_state(self.folder) or {}
        if state.get("over") or (gone and state.get("local")):
            return 0
        return None if gone else int(state["alive"])

    def stop(self, *, kill: bool = False) -> None:
        """Ask all workers to give their jobs back and end, or kill them; those in the queue leave it."""
        if self.host.poll() is None:
            self.host.send_signal(signal.SIGUSR1 if kill else signal.SIGTERM)


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return what the host has last written of its fleet; None before it has."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = read_json(folder / STATE)
        return found
    return None


def _needs(request: FleetRequest, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each worker takes of a node, by Ray's own names; memory in bytes."""
    memory = request.memory if options["memory_gb"] is None else int(options["memory_gb"] * 1e9)
    wrong = {
        name: amount
        for name, amount in options["resources"].items()
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount < 0
    }
    taken = sorted({"CPU", "GPU", "memory"} & set(options["resources"]))
    if wrong or taken:
        name = next(iter(wrong), "") or taken[0]
        raise BenchError(
            f"the executor ray cannot ask for the resource {name!r}",
            place="runtime.executors.ray.resources",
            cause="an amount must be a number of at least 0" if wrong else "it has an option of its own",
            fix="use the options cpus, gpus and memory_gb" if taken else f"write a number for {name}",
        )
    return {
        "CPU": request.cores if options["cpus"] is None else options["cpus"],
        "GPU": request.devices if options["gpus"] is None else options["gpus"],
        **({} if memory is None else {"memory": memory}),
        **options["resources"],
    }


def _first_state(host: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """Wait until the host has started the workers, or has said why it cannot."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        gone = host.poll() is not None
        state = read_state(folder)
        if state is not None:
            return state
        if gone:
            break
        time.sleep(0.1)
    raise BenchError(
        "Ray did not start" if host.poll() is not None else f"Ray did not answer in {START_SECONDS:.0f} s",
        cause=_last_line(folder / LOG),
        fix=f"less '{folder / LOG}'",
    )


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it left no message"
