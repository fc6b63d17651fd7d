"""The emulated cluster itself: two nodes that take jobs, several clusters at once, nothing left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.slurm.cluster import NODES, Cluster
from tests.slurm.guard import members

pytestmark = pytest.mark.slow
HOLD = """
import time
from tests.slurm.cluster import running_cluster
with running_cluster() as cluster:
    print(cluster.folder, flush=True)
    time.sleep(1000)
"""


def test_array_runs_on_both_nodes_with_a_gpu_each(cluster: Cluster) -> None:
    output = cluster.folder / "seen.%a"
    said = 'hostname; echo "$CUDA_VISIBLE_DEVICES"; readlink /proc/self/ns/pid; sleep 1'
    cluster.call("sbatch", "--array=0-3", "--gres=gpu:1", f"--output={output}", "--wrap", said)
    cluster.wait(lambda: not cluster.jobs(), "the array to end")
    seen = [(cluster.folder / f"seen.{number}").read_text().split() for number in range(4)]
    assert {device for _, device, _ in seen} == {"0", "1"}
    if cluster.namespaces:
        assert {host for host, _, _ in seen} == set(NODES)
        assert len({namespace for _, _, namespace in seen}) == 2


def test_second_cluster_dies_with_the_process_that_started_it(cluster: Cluster) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    folder = type(cluster.folder)(held.stdout.readline().strip())
    assert folder != cluster.folder
    assert len(members(folder)) >= 4
    held.kill()
    held.wait()
    cluster.wait(lambda: not members(folder) and not folder.exists(), "the other cluster to end")
    assert cluster.states() == dict.fromkeys(NODES, "idle")
