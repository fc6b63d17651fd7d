"""Workers that tests fork: a process whose compute library has threads spawns them."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import os
import sys
import pyarrow
import torch
from tests.helpers.forks import survives_a_fork

pyarrow.array(range(100_000))
torch.set_num_threads(1)
torch.randn(1_000_000).exp_()
print(survives_a_fork(), flush=True)
"""
THREADS = {
    "OpenMP": "torch.set_num_threads(2)\ntorch.randn(1_000_000).exp_()\ntorch.set_num_threads(1)\n",
    # Deep inside each other, backward passes go to threads of their own.
    "autograd": """
class Within(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, depth):
        ctx.depth = depth
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if ctx.depth:
            with torch.enable_grad():
                Within.apply(torch.ones(1, requires_grad=True), ctx.depth - 1).backward()
        return gradient, None


Within.apply(torch.ones(1, requires_grad=True), 100).backward()
""",
}
FORKED = """
if os.fork() == 0:
    before = survives_a_fork()
    exec({body!r}, {{"torch": torch}})
    print({library!r}, before, survives_a_fork(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_a_process_whose_compute_library_has_threads_is_not_forked() -> None:
    """Each library begins its threads in a fork of one process, which imports once."""
    forks = [FORKED.format(library=library, body=body) for library, body in THREADS.items()]
    program = BEGIN + "".join(forks)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", *(word for name in THREADS for word in (name, "True", "False"))]
