"""Workers that tests fork: a process whose compute library has threads spawns them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import pyarrow
import torch
from tests.helpers.forks import survives_a_fork

pyarrow.array(range(100_000))
torch.set_num_threads(1)
torch.randn(1_000_000).exp_()
before = survives_a_fork()
torch.set_num_threads(2)
torch.randn(1_000_000).exp_()
torch.set_num_threads(1)
print(before, survives_a_fork())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_process_that_has_computed_on_several_threads_is_not_forked() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
