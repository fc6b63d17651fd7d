"""Declares the MMSegmentation runner."""

from __future__ import annotations

from bench_core import RunnerDeclaration, hookimpl


@hookimpl
def bench_runners() -> list[RunnerDeclaration]:
    """Return the one runner of this package."""
    return [
        RunnerDeclaration(
            name="mmseg",
            fit="bench_mmseg.engine:fit",
            help="MMEngine's loop around MMSegmentation's networks",
            requires=("mmengine", "mmcv", "mmseg"),
            install="pip install 'segbench[mmseg]'",
            unavailable="declared; its engine is not part of this version",
        )
    ]
