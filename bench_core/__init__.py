"""The core of segtrial: what a benchmark is, whichever framework runs it."""

__version__ = "0.1.0"

from bench_core.declarations import (
    IGNORE,
    Analysis,
    Architecture,
    BuildRequest,
    Dataset,
    DatasetRequest,
    Departure,
    Deviation,
    JobEvent,
    Metric,
    ModelSource,
    PublishedFile,
    RunnerDeclaration,
    Step,
    Task,
)
from bench_core.hookspecs import hookimpl
from bench_core.options import Option

__all__ = [
    "IGNORE",
    "Analysis",
    "Architecture",
    "BuildRequest",
    "Dataset",
    "DatasetRequest",
    "Departure",
    "Deviation",
    "JobEvent",
    "Metric",
    "ModelSource",
    "Option",
    "PublishedFile",
    "RunnerDeclaration",
    "Step",
    "Task",
    "hookimpl",
]
