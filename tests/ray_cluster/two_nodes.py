"""`python -m tests.ray_cluster.two_nodes FOLDER`: a study on two Ray nodes, of which one is killed.

Prints what was seen as JSON. To be run where only the loopback interface is (see test_two_nodes).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_core.store.running import epochs_kept
from bench_core.store.store import Store
from tests.helpers.bench import BENCH
from tests.helpers.kill_driver import fingerprint
from tests.helpers.small_study import load, run

NODE: dict[str, Any] = {"object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}


def main(base: Path) -> None:
    """Run the study undisturbed and on the cluster; print what was seen."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    loaded, plan = load(base / "spec", models="[slow-net]", search=True, epochs=6)
    (base / "clean").mkdir()
    clean = Store(base / "clean/store", create=True)
    for job in plan.jobs:
        run(job, clean, loaded.registry)
    store = Store(base / "cluster/store", create=True)
    # Ray writes the address of a cluster here, and makes the folder only where it keeps its own files in it.
    (Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)
    # The path of a socket is short, and that of a test's folder long.
    with tempfile.TemporaryDirectory(prefix="ray-") as files:
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": files, **NODE}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        seen = on(cluster, loaded.path, store)
        cluster.shutdown()
    seen["attempts"] = {
        job.digest: len(json.loads((store.folder(job.digest) / "attempts.json").read_text()))
        for job in plan.jobs
    }
    seen["equal"] = [
        fingerprint(base / "clean", job) == fingerprint(base / "cluster", job)
        for job in plan.jobs
        if job.stage == "evaluate"
    ]
    print(json.dumps(seen))


def on(cluster: Any, spec: Path, store: Store) -> dict[str, Any]:
    """Run a spec on two nodes, kill the command and a node, run it again; return what was seen."""
    nodes = [cluster.add_node(num_cpus=1, **NODE) for _ in range(2)]
    words = [*BENCH, "run", str(spec), "--store", str(store.path), "--device", "cpu", "--json"]
    words += ["--executor", "ray", "--workers", "2", "--set"]
    words += [f"runtime.executors.ray.address={cluster.address}"]
    with (store.path.parent / "front.log").open("wb") as log:
        front = subprocess.Popen(words, stdout=log, stderr=log)
    victim = nodes[0].all_processes["raylet"][0].process.pid
    seen: dict[str, Any] = {"cut off": wait(lambda: begun_below(victim, store))}
    seen["listening"] = listening()
    front.kill()
    front.wait()
    for process in reversed([victim, *below(victim)]):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    again = subprocess.run(words, capture_output=True, text=True, timeout=120)
    seen["again"] = [again.returncode, again.stderr[-2000:]]
    seen["told"] = [json.loads(line) for line in again.stdout.splitlines()]
    return seen


def wait(found: Callable[[], Any]) -> Any:
    """Return what is found, as soon as it is."""
    until = time.monotonic() + 90
    while not (value := found()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return value


def begun_below(process: int, store: Store) -> str | None:
    """Return a job that a process below this one works on and of which a whole epoch, not all, is kept."""
    family = set(below(process))
    for path in store.claims.iterdir():
        owner, place = store.owner(path.name), store.place(path.name)
        if owner is not None and place is not None and owner.pid in family and epochs_kept(place) >= 1:
            return path.name
    return None


def below(process: int) -> Iterator[int]:
    """Yield the ids of all processes that this one has started, and that those have started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    todo = list(children.get(process, []))
    while todo:
        yield (found := todo.pop())
        todo += children.get(found, [])


def listening() -> list[str]:
    """Return the addresses on which any process of this network namespace listens."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    sockets = [line.split() for table in tables for line in table]
    return sorted({socket[1].partition(":")[0] for socket in sockets if socket[3] == "0A"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
