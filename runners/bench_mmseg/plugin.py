"""Declares the MMSegmentation runner and its zoo."""

from __future__ import annotations

from bench_core import ModelSource, Option, RunnerDeclaration, hookimpl
from bench_mmseg.backends import BACKENDS
from bench_mmseg.source import SOURCE


@hookimpl
def bench_runners() -> list[RunnerDeclaration]:
    """Return the one runner of this package."""
    return [
        RunnerDeclaration(
            name="mmseg",
            fit="bench_mmseg.fit:fit",
            help="MMEngine's loop around MMSegmentation's or any other networks, on CPU, CUDA or MPS",
            requires=("mmengine", "mmcv", "mmseg"),
            install="mmseg",
            several_devices=True,
            options={
                "log": Option(type=bool, default=False, help="keep MMEngine's text log with each result"),
                "visual": Option(
                    type=list,
                    default=(),
                    choices=tuple(BACKENDS),
                    help="MMEngine's visual backends that get losses, learning rates and metrics",
                ),
                "interval": Option(type=int, default=10, minimum=1, help="steps between two lines of these"),
            },
        )
    ]


@hookimpl
def bench_model_sources() -> list[ModelSource]:
    """Return the one model source of this package."""
    return [SOURCE]
