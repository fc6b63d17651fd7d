"""What plugins declare: architectures, model sources, datasets, runners, executors, metrics,
analyses.

Declarations are plain data that import no framework, so a plan can be made where nothing is installed.
Code is named as "package.module:attribute" and imported only when a job needs it.
"""

from bench_core.declarations.datasets import (
    IGNORE,
    Dataset,
    DatasetRequest,
    FakeRequest,
    LooseRequest,
    Reference,
    Side,
    Task,
)
from bench_core.declarations.entry import Entry, resolve_entry
from bench_core.declarations.executors import ExecutorDeclaration, Fleet, FleetRequest
from bench_core.declarations.layers import Form, Layers
from bench_core.declarations.models import (
    Architecture,
    BuildRequest,
    Departure,
    Deviation,
    ModelSource,
    PublishedFile,
)
from bench_core.declarations.results import Analysis, Metric, Unit
from bench_core.declarations.work import JobEvent, RunnerDeclaration, Step, without_network

__all__ = [
    "IGNORE",
    "Analysis",
    "Architecture",
    "BuildRequest",
    "Dataset",
    "DatasetRequest",
    "Departure",
    "Deviation",
    "Entry",
    "ExecutorDeclaration",
    "FakeRequest",
    "Fleet",
    "FleetRequest",
    "Form",
    "JobEvent",
    "Layers",
    "LooseRequest",
    "Metric",
    "ModelSource",
    "PublishedFile",
    "Reference",
    "RunnerDeclaration",
    "Side",
    "Step",
    "Task",
    "Unit",
    "resolve_entry",
    "without_network",
]
