"""The core of segtrial: what a benchmark is, whichever framework runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.arithmetic import Arithmetic, counted
from bench_core.declarations import (
    IGNORE,
    Analysis,
    Architecture,
    BuildRequest,
    Dataset,
    DatasetRequest,
    Departure,
    Deviation,
    ExecutorDeclaration,
    FakeRequest,
    Fleet,
    FleetRequest,
    JobEvent,
    Layers,
    Metric,
    ModelSource,
    PublishedFile,
    Reference,
    RunnerDeclaration,
    Side,
    Step,
    Task,
)
from bench_core.hookspecs import hookimpl
from bench_core.options import Option
from bench_core.version import __version__

if TYPE_CHECKING:
    from bench_core.study import StudyResults

__all__ = [
    "IGNORE",
    "Analysis",
    "Architecture",
    "Arithmetic",
    "BuildRequest",
    "Dataset",
    "DatasetRequest",
    "Departure",
    "Deviation",
    "ExecutorDeclaration",
    "FakeRequest",
    "Fleet",
    "FleetRequest",
    "JobEvent",
    "Layers",
    "Metric",
    "ModelSource",
    "Option",
    "PublishedFile",
    "Reference",
    "RunnerDeclaration",
    "Side",
    "Step",
    "Task",
    "__version__",
    "counted",
    "hookimpl",
    "open_study",
]


def open_study(
    spec: str | Path, store: str | Path = "results", overrides: Sequence[str] = ()
) -> StudyResults:
    """Return what a store holds of a spec, for notebooks and scripts.

    `overrides` are PATH=VALUE texts as --set takes them. Raises SpecError for an invalid spec, StoreError for
    a folder that is not a store.
    """
    from bench_core.study import opened

    return opened(Path(spec), Path(store), overrides)
