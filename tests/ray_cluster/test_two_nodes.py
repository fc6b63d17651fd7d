"""Real jobs on a real Ray cluster of two nodes, in a network of its own that reaches nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ALONE = 'ip link set lo up && exec "$@"'
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def in_own_network(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the package ray is not installed")
    if shutil.which("unshare") is None or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("a network namespace needs root, unshare and ip")
    words = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", ALONE, "sh"]
    if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system makes no network namespaces")
    return subprocess.run([*words, *command], capture_output=True, text=True, timeout=seconds)


@pytest.mark.slow
def test_jobs_of_a_killed_node_end_on_the_other_with_the_same_numbers(tmp_path: Path) -> None:
    done = in_own_network([sys.executable, "-m", "tests.ray_cluster.two_nodes", str(tmp_path)], 240)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["again"][0] == 0, seen["again"][1]
    assert seen["told"][-1]["counts"] == {"done": 5}
    assert [line["kind"] for line in seen["told"] if line["event"] == "fleet"] == ["joined"]
    assert seen["attempts"][seen["cut off"]] == 2
    assert seen["equal"] == [True] * 3
    assert set(seen["listening"]) <= LOOPBACK
