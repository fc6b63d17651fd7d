"""Workers that tests fork: a process whose compute library has threads spawns them."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import pyarrow
import torch
from tests.helpers.forks import survives_a_fork

pyarrow.array(range(100_000))
torch.set_num_threads(1)
torch.randn(1_000_000).exp_()
before = survives_a_fork()
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


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
@pytest.mark.parametrize("library", THREADS)
def test_a_process_whose_compute_library_has_threads_is_not_forked(library: str) -> None:
    program = f"{BEGIN}{THREADS[library]}print(before, survives_a_fork())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
