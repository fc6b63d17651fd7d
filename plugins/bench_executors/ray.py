"""Workers as actors of a Ray cluster, one that is there or one that is started for them on this machine.

Ray stays out of this process: it sets signal handlers, prints, and ends a process that lost its cluster. A
process beside this one (`bench_executors.ray_host`) talks to it, and outlives the command that started it.
"""

from __future__ import annotations

import os
import secrets
import shlex
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
from bench_core.errors import BenchError
from bench_core.files.bounded import read_json
from bench_core.options import Option
from bench_core.processes.liveness import is_running, machine_identity
from bench_core.store.files import write_json

REQUEST, STATE, LOG = "request.json", "state.json", "ray.log"
START_SECONDS = 180.0
_HANDED_ON = ("PYTHONPATH",)
"""Variables that workers on other machines get from here, beside those of segtrial itself."""


RAY = ExecutorDeclaration(
    name="ray",
    start="bench_executors.ray:start",
    attach="bench_executors.ray:attach",
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


def start(request: FleetRequest, options: Mapping[str, Any]) -> RayFleet:
    """Start the workers of `request` and return their fleet.

    Workers that the cluster cannot carry yet wait in its queue. Raises BenchError where Ray is not there,
    finds no cluster, or no node could carry a worker.
    """
    # Here, not above: every command loads this declaration, and none but `run` what starts fleets.
    from bench_core.execute.fleets import require

    require(RAY)
    _check_address(options["address"])
    mark = secrets.token_hex(4)
    data = {
        "command": list(request.command),
        "names": [f"{request.name}-{mark}-{number}" for number in range(request.workers)],
        "needs": _needs(request, options),
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name.startswith("SEGTRIAL_") or name in _HANDED_ON
        },
        **{name: options[name] for name in ("address", "autoscaling", "restarts")},
    }
    write_json(request.folder / REQUEST, data)
    host = _host(request.folder)
    try:
        state = _first_state(host, request.folder)
    except BaseException:
        host.terminate()
        raise
    if "error" in state:
        host.wait()
        raise BenchError(**state["error"])
    return RayFleet(_label(state), request.folder, host)


def attach(folder: Path, options: Mapping[str, Any]) -> RayFleet:
    """Return the fleet that was started with this folder, perhaps by a process of long ago."""
    state = read_state(folder)
    if state is None or "error" in state:
        raise BenchError(
            "no workers of Ray were started with this folder",
            place=str(folder),
            cause="there is no state of a fleet in it" if state is None else state["error"]["message"],
            fix="start them anew: `bench run --executor ray`",
        )
    return RayFleet(_label(state), folder)


@dataclass(frozen=True)
class RayFleet:
    """Workers on a Ray cluster, kept by a process (the host) that ends when they have ended."""

    label: str
    folder: Path
    host: subprocess.Popen[bytes] | None = None
    """Held where this process has started it."""

    def alive(self) -> int | None:
        """Return how many workers have not ended; None if the host has died or runs on another machine."""
        state = read_state(self.folder) or {}
        lives = _lives(state)
        # It may have written its last word in between.
        state = read_state(self.folder) or {}
        if state.get("over") or (lives is False and state.get("local")):
            return 0
        return int(state["alive"]) if lives else None

    def stop(self, *, kill: bool = False) -> None:
        """Ask all workers to give their jobs back and end, or kill them; those in the queue leave it.

        Where the host has died or is elsewhere, another one is started, which finds the workers by their
        names. Raises BenchError for a cluster that another machine has started for itself.
        """
        state = read_state(self.folder) or {}
        lives = _lives(state)
        if lives:
            with suppress(ProcessLookupError):
                os.kill(state["pid"], signal.SIGUSR1 if kill else signal.SIGTERM)
        elif not state.get("over") and not state.get("local"):
            _host(self.folder, "kill" if kill else "stop")
        elif lives is None and not state.get("over"):
            raise BenchError(
                "these workers run on another machine",
                place=f"process {state['pid']} on {state['host']}",
                cause="their Ray cluster was started for them there, and is reached from there only",
                fix=f"ssh {shlex.quote(state['host'])} kill {state['pid']}",
            )


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return what the host has last written of its fleet; None before it has."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = read_json(folder / STATE)
        return found
    return None


def _lives(state: Mapping[str, Any]) -> bool | None:
    """Say whether the host is a process of this machine; None if it is one of another."""
    if state.get("machine") != machine_identity():
        return None
    return is_running(state["pid"], state["start"])


def _label(state: Mapping[str, Any]) -> str:
    return f"{state['cluster']}, kept by process {state['pid']} on {state['host']}"


def _host(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a host, which outlives this process and its terminal."""
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bench_executors.ray_host", str(folder), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


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


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if address not in ("", "auto") and ("://" in address or not host or not port.isdigit()):
        raise BenchError(
            f"{address!r} is not the address of a Ray cluster's head",
            place="runtime.executors.ray.address",
            fix="write HOST:PORT, as `ray status --address HOST:PORT` takes it (6379 is the usual port)",
        )


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
