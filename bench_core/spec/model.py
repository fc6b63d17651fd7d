"""A spec: what the user asks for, after the YAML has been read and before anything is expanded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from bench_core.declarations.executors import LOCAL
from bench_core.spec.bounds import MOST_DEVICES, MOST_THREADS
from bench_core.spec.claims import AnyClaim
from bench_core.spec.duplicates import AnyDuplicates, GroupCopies
from bench_core.spec.expected import Expected
from bench_core.spec.loss import Losses, LossName
from bench_core.spec.optimizer import AnyOptimizerChange
from bench_core.spec.pools import Pools, Track
from bench_core.spec.protocol import EarlyStopping, Metrics, Normalization, Protocol
from bench_core.spec.schedule import AnyScheduleChange
from bench_core.spec.section import BatchSize, Off, PositiveFloat, Section

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Reason = Annotated[str, StringConstraints(min_length=3, strip_whitespace=True)]


class Deviations(Section):
    """Protocol fields that this model takes differently, and why."""

    because: Reason
    normalization: Normalization | None = None
    optimizer: AnyOptimizerChange | None = None
    schedule: AnyScheduleChange | None = None
    batch_size: BatchSize | None = None
    micro_batch: BatchSize | Off | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    loss: LossName | Losses | None = None
    augmentation: list[str | dict[str, dict[str, Any] | None]] | None = None
    gradient_clipping: PositiveFloat | Off | None = None


class ModelEntry(Section):
    """One row of the matrix. In YAML a bare name is short for {name: ...}."""

    name: str
    """A registered architecture, or source:rest such as smp:unet/efficientnet-lite0."""
    label: Label | None = None
    """How tables name it; needed where one architecture appears twice."""
    runner: str | None = None
    """Another runner than its own runs it."""
    pretrained: str | None = None
    """One of the architecture's weight sources; `because` says why where the protocol says otherwise."""
    weights: str | None = None
    """Path of the weights file, where it is not looked for by name."""
    because: Reason | None = None
    """Reason for `pretrained` that deviates from the protocol."""
    track: Track | None = None
    """With whom it is ranked, where its runner has a procedure of its own."""
    options: dict[str, Any] = {}
    deviations: Deviations | None = None


class DatasetEntry(Section):
    """One column of the matrix. In YAML a bare name is short for {name: ...}."""

    name: str
    label: Label | None = None
    root: str | None = None
    """Folder of the published files; ${VAR:-default} is filled in."""
    options: dict[str, Any] = {}
    folds: str | None = None
    """File of the user's own folds or fixed split, instead of folds dealt by the seed."""
    duplicates: AnyDuplicates = GroupCopies()
    """Which images are copies of each other, and what becomes of them."""
    stratify: Annotated[list[Name], Field(min_length=1, max_length=16)] | None = None
    """By what folds are balanced: "classes" (which ones a mask holds) and attributes of the samples."""
    augmentation: list[str | dict[str, dict[str, Any] | None]] | None = None
    """Replaces the protocol's list for this dataset, for all models alike."""
    loss: LossName | Losses | None = None
    """Replaces the protocol's loss for this dataset, for all models alike."""


class Exclusion(Section):
    """Cells of the matrix that are not run, and why."""

    model: str | None = None
    """Label or name of a model entry; absent: all models."""
    dataset: str | None = None
    """Label or name of a dataset entry; absent: all datasets."""
    because: Reason


class AnalysisEntry(Section):
    """A part of the report. In YAML a bare name is short for {name: ...}."""

    name: str
    options: dict[str, Any] = {}


class StepEntry(Section):
    """Work on every finished evaluate job. In YAML a bare name is short for {name: ...}."""

    name: str
    label: Label | None = None
    """How jobs and tables name it; needed where one step appears twice."""
    dataset: DatasetEntry | None = None
    """Another dataset, all of whose images are looked at; only for steps that take one."""
    of: Annotated[list[Name], Field(min_length=1, max_length=256)] | None = None
    """Labels or names of the datasets on whose jobs it works; absent: all that it can work on."""
    options: dict[str, Any] = {}


Size = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})? ?([KMGT]i?)?B$")]


class Runtime(Section):
    """How jobs are executed: recorded with each result, no part of its identity."""

    workers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Jobs at a time; default: one per GPU, otherwise one per CPU core (`threads` each)."""
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] = 1
    """CPU threads of one job; results are bit-equal only for an equal number."""
    devices_per_job: Annotated[int, Field(ge=1, le=MOST_DEVICES)] = 1
    """Devices that train one job together, each a part of every batch; a step has one."""
    loader_workers: Literal["auto"] | Annotated[int, Field(ge=0, le=MOST_THREADS)] = "auto"
    """Loader processes of one job; auto: on a CUDA GPU its share of the cores, up to 8, elsewhere none."""
    channels_last: bool = False
    """Keep images and weights in memory order [B, H, W, C]: often faster on GPUs."""
    compile: bool = False
    """torch.compile the network."""
    runners: dict[str, dict[str, Any]] = {}
    """Runner to its options, such as logs of its own; see `bench list runners`."""
    memory: dict[str, Size] = {}
    """Model (label or name) to the memory that its jobs need on a device, as "20GB" or "18GiB"; workers that
    have less leave them to others. What is not given is learned from finished jobs."""
    executor: Name = LOCAL
    """Where `bench run` starts workers: `local` is this machine; see `bench list executors`."""
    executors: dict[str, dict[str, Any]] = {}
    """Executor to its options, such as a partition and time limits; see `bench list executors`."""


class Spec(Section):
    """models x datasets under one protocol."""

    version: Annotated[int, Field(ge=1, le=1)]
    """Of the spec language; always 1."""
    name: Label
    """Names the study and its reports."""
    description: str = ""
    plugins: list[str] = []
    """Python files, relative to the spec, with models, datasets or listeners of your own."""
    models: Annotated[list[ModelEntry], Field(min_length=1)]
    datasets: Annotated[list[DatasetEntry], Field(min_length=1)]
    protocol: Protocol
    exclude: list[Exclusion] = []
    steps: list[StepEntry] = []
    """Work on the finished evaluate jobs, one job for each of them and each entry."""
    analyses: list[AnalysisEntry] | None = None
    """Parts of the report, in this order; absent: all."""
    pools: Pools = {}
    """Named selections of models, each ranked and compared by itself."""
    expected: Annotated[list[Expected], Field(max_length=100)] = []
    """What others have published for these cells."""
    claims: Annotated[list[AnyClaim], Field(max_length=200)] = []
    """Sentences about the results that the report checks."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Of folds, data order, augmentation and initial weights."""
    runtime: Runtime = Runtime()


__all__ = [
    "AnalysisEntry",
    "DatasetEntry",
    "Deviations",
    "EarlyStopping",
    "Exclusion",
    "Metrics",
    "ModelEntry",
    "Spec",
    "StepEntry",
]
