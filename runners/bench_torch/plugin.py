"""Declares the native PyTorch runner."""

from __future__ import annotations

from bench_core import RunnerDeclaration, hookimpl


@hookimpl
def bench_runners() -> list[RunnerDeclaration]:
    """Return the one runner of this package."""
    return [
        RunnerDeclaration(
            name="torch",
            fit="bench_torch.fit:fit",
            help="native PyTorch loop on CPU, CUDA or MPS",
            requires=("torch", "torchvision"),
            install="torch",
            several_devices=True,
        )
    ]
