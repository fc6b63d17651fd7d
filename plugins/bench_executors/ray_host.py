"""`python -m bench_executors.ray_host FOLDER [stop|kill]`: keeps the workers of one fleet on a Ray cluster.

It writes STATE into the folder: first what it stands on or why it cannot start, then how many workers have
not ended. SIGTERM asks them to give their jobs back, SIGUSR1 kills them. The actors are detached: on a
cluster that was there before, they work on and leave by themselves should this process die. A cluster that
was started for them ends with it. With a second word it looks for the workers that another host has left, and
ends them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_core.errors import BenchError
from bench_core.files.bounded import read_json
from bench_core.processes.liveness import machine_identity, process_start
from bench_core.store.files import write_json
from bench_executors.ray import REQUEST, STATE

NAMESPACE = "segtrial"
LOOK_SECONDS = 0.5
REPEAT_SECONDS = 5.0
"""How often workers are asked again to stop: one that is moving to another node does not hear it."""
PATIENCE_SECONDS = 60.0
CONNECT_SECONDS = 10.0
OBJECT_STORE_BYTES = 80 * 2**20
"""Of a cluster of our own: results do not pass through it."""


def main(folder: Path, word: str = "") -> int:
    """Start the workers that the folder's request asks for, or find them, and stay until all have ended."""
    request = read_json(folder / REQUEST)
    temporary: Path | None = None
    try:
        if not request["address"]:
            temporary = Path(tempfile.mkdtemp(prefix="segtrial-ray-"))
        cluster = connect(request["address"], temporary)
        fleet = Fleet(request, folder, cluster)
        if word:
            fleet.find(signal.SIGUSR1 if word == "kill" else signal.SIGTERM)
        else:
            refuse_impossible(request["needs"], nodes(), autoscaling=request["autoscaling"])
            fleet.start()
        fleet.keep()
    except BenchError as error:
        parts = {"message": error.message, "place": error.place, "cause": error.cause, "fix": error.fix}
        write_json(folder / STATE, {"error": parts})
        return error.exit_code
    finally:
        _disconnect()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return 0


def connect(address: str, temporary: Path | None) -> str:
    """Connect to the cluster at `address`, or start one with its files in `temporary`; return it in words.

    Raises BenchError if there is none or it refuses.
    """
    # Before the import, which reads them: nothing is told to anybody.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if temporary is not None:
        # Known to this cluster alone; without it Ray keeps one in the home folder.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        # Jobs know what memory they need; Ray would kill workers where the machine has little left.
        os.environ |= {"RAY_memory_monitor_refresh_ms": "0"}
    import ray

    settings: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "warning"}
    if temporary is not None:
        settings |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": str(temporary),
        }
    else:
        _refuse_silent(address)
        settings["address"] = address
    try:
        context = ray.init(**settings)
    except SystemExit as error:
        # Ray ends a process whose cluster does not answer.
        raise _no_cluster(address, "it does not answer as a Ray cluster") from error
    except Exception as error:
        if temporary is None and isinstance(error, (ConnectionError, ValueError)):
            raise _no_cluster(address, str(error)) from error
        words = " ".join(str(error).split())
        if "ersion mismatch" in words:
            raise BenchError(
                "the Ray cluster has another version of Ray or Python than this environment",
                place=f"address {address}",
                cause=words,
                fix="start the cluster from this environment, or install the cluster's versions here",
            ) from error
        raise BenchError(
            "Ray does not start" if temporary is not None else "the Ray cluster refuses",
            cause=words,
            fix="see ray.log in the folder of this fleet",
        ) from error
    return "a Ray cluster of this machine" if temporary is not None else f"Ray cluster {context['address']}"


def nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is up, by name."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def refuse_impossible(
    needs: Mapping[str, float], present: Sequence[Mapping[str, float]], *, autoscaling: bool
) -> None:
    """Raise BenchError if no node can carry a worker, since it would wait without end."""
    if autoscaling or any(all(node.get(name, 0) >= needs[name] for name in needs) for node in present):
        return
    short = {name: max((node.get(name, 0.0) for node in present), default=0.0) for name in needs}
    lacks = [name for name in needs if short[name] < needs[name]]
    texts = [f"{needs[name]:g} {name}, of which one has at most {short[name]:g}" for name in lacks or needs]
    options = {"CPU": "cpus", "GPU": "gpus", "memory": "memory_gb"}
    named = [options.get(name, f"resources: {name}") for name in lacks or needs]
    raise BenchError(
        "no node of the Ray cluster can carry a worker",
        place="runtime.executors.ray",
        cause=f"each takes {'; '.join(texts)}" + ("" if lacks else " (no node has all of it)"),
        fix=f"ask for less ({', '.join(named)}), or set autoscaling: true if the cluster adds such nodes",
    )


class Fleet:
    """The actors of one fleet."""

    def __init__(self, request: Mapping[str, Any], folder: Path, cluster: str) -> None:
        self._request, self._folder, self._cluster = request, folder, cluster
        self._actors: dict[Any, Any] = {}
        """Actor by the reference that tells of its worker's end."""
        self._placed: dict[Any, Any] = {}
        """The same reference to one that is there as soon as the actor has a node."""
        self._asked: list[int] = []

    def start(self) -> None:
        """Start all workers."""
        import ray
        from ray import cloudpickle

        from bench_executors import ray_worker

        # Nodes need not have this package.
        cloudpickle.register_pickle_by_value(ray_worker)
        needs = dict(self._request["needs"])
        options: dict[str, Any] = {
            "num_cpus": needs.pop("CPU"),
            "num_gpus": needs.pop("GPU"),
            "memory": needs.pop("memory", None),
            "resources": needs,
            "max_restarts": self._request["restarts"],
            "max_task_retries": self._request["restarts"],
            # One call waits for the end while others ask to stop.
            "max_concurrency": 4,
            "lifetime": "detached",
            "scheduling_strategy": "SPREAD",
        }
        actor_class = ray.remote(_actor_class(ray_worker.Keeper))
        for number, name in enumerate(self._request["names"]):
            log = str(self._folder / f"worker-{number}.log")
            parts = (self._request["command"], self._request["environment"], log, self._request["restarts"])
            self._add(actor_class.options(name=name, **options).remote(*parts))

    def find(self, asked: int) -> None:
        """Find the workers that another host has started; ask them to stop (SIGTERM), or kill them."""
        import ray

        self._asked.append(asked)
        for name in self._request["names"]:
            with suppress(ValueError):
                self._add(ray.get_actor(name))

    def keep(self) -> None:
        """Stay until all workers have ended, by themselves or because they were asked to."""
        import ray

        # In place of Ray's own, which ends this process.
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda number, frame: self._asked.append(number))
        asked_at = last = float("-inf")
        told: int | None = None
        while self._actors:
            if told != len(self._actors):
                told = len(self._actors)
                self._tell(over=False)
            ready, _ = ray.wait(list(self._actors), num_returns=1, timeout=LOOK_SECONDS)
            for reference in ready:
                self._ended(reference)
            kill = signal.SIGUSR1 in self._asked
            if not self._asked:
                continue
            now = time.monotonic()
            asked_at = now if asked_at < 0 else asked_at
            if now - last > (LOOK_SECONDS if kill else REPEAT_SECONDS):
                last = now
                self._stop(kill=kill, force=now - asked_at > (REPEAT_SECONDS if kill else PATIENCE_SECONDS))
        self._tell(over=True)

    def _add(self, actor: Any) -> None:
        reference = actor.ended.remote()
        self._actors[reference], self._placed[reference] = actor, actor.placed.remote()

    def _ended(self, reference: Any) -> None:
        import ray

        actor = self._actors.pop(reference)
        del self._placed[reference]
        try:
            report = ray.get(reference)
            if report["code"] != 0:
                print(f"a worker ended with {report['code']}: {report['tail']}", flush=True)
        except ray.exceptions.RayError as error:
            print(f"a worker was lost: {' '.join(str(error).split())}", flush=True)
        with suppress(ray.exceptions.RayError, ValueError):
            ray.kill(actor)

    def _stop(self, *, kill: bool, force: bool) -> None:
        import ray

        for reference, actor in self._actors.items():
            placed, _ = ray.wait([self._placed[reference]], timeout=0)
            with suppress(ray.exceptions.RayError, ValueError):
                # One that waits for a node would hear of it when it has got one.
                if placed and not force:
                    actor.stop.remote(kill)
                else:
                    ray.kill(actor)

    def _tell(self, *, over: bool) -> None:
        state = {
            "cluster": self._cluster,
            "local": not self._request["address"],
            "host": socket.gethostname(),
            "machine": machine_identity(),
            "pid": os.getpid(),
            "start": process_start(os.getpid()),
            "alive": len(self._actors),
            "over": over,
        }
        write_json(self._folder / STATE, state)


def _actor_class(keeper: type) -> type:
    """Return the class that Ray makes actors of; it is sent to nodes as it stands here."""

    class Worker:
        def __init__(self, command: list[str], environment: dict[str, str], log: str, restarts: int) -> None:
            import ray

            me = ray.get_runtime_context().current_actor
            self._keeper = keeper(command, environment, log, restarts, leave=lambda: ray.kill(me))

        def placed(self) -> None:
            pass

        def ended(self) -> dict[str, Any]:
            found: dict[str, Any] = self._keeper.ended()
            return found

        def stop(self, kill: bool) -> None:
            self._keeper.stop(kill)

    return Worker


def _refuse_silent(address: str) -> None:
    """Raise BenchError if nobody listens at HOST:PORT; Ray itself would try for two minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str, cause: str) -> BenchError:
    return BenchError(
        "there is no Ray cluster" + ("" if address == "auto" else f" at {address}"),
        place="runtime.executors.ray.address",
        cause=" ".join(cause.split()),
        fix="start one with `ray start --head`, or leave the address out: then one is started for the run",
    )


def _disconnect() -> None:
    if "ray" in sys.modules:
        import ray

        with suppress(Exception):
            ray.shutdown()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
