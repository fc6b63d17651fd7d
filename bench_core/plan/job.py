"""A job: one fully resolved unit of work, frozen, JSON-serializable, without code in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from bench_core.declarations import Departure, Task
from bench_core.seeds import derive_seed
from bench_core.spec.training import Pixels, Scoring, Training

Role = Literal["rate", "weights", "predictions", "prompts", "peers", "siblings"]
"""What a needed job gives: the learning rate of a search, its network, its label maps, its prompts; of all
models together the label maps of one fold; of the model's other folds their networks."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Text = Annotated[str, StringConstraints(max_length=4096)]
Index = Annotated[int, Field(ge=0, lt=2**31)]


@dataclass(frozen=True, slots=True)
class JobDeviation:
    """A protocol setting that this model takes differently."""

    setting: Text
    protocol: Any
    """What the protocol says."""
    value: Any
    """What the model takes."""
    because: Text


@dataclass(frozen=True, slots=True)
class JobModel:
    """The network of a job."""

    label: Text
    name: Text
    family: Text
    version: int
    runner: Text
    pretrained: Text
    weights: Text | None
    """Path that the user gave for the weights file, or None."""
    options: Mapping[str, Any]
    """Complete: the declaration's defaults are filled in."""
    deviations: tuple[JobDeviation, ...] = ()
    departures: tuple[Departure, ...] = ()
    """Where the network departs from its publication."""
    content: Text = ""
    """What tells the network apart where its name is a place: hash of the user's files that define it."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """Those of `options` that differ from the declared defaults."""


@dataclass(frozen=True, slots=True)
class JobDataset:
    """The data of a job."""

    label: Text
    name: Text
    version: int
    task: Task
    root: Text | None
    options: Mapping[str, Any]
    """Complete: the declaration's defaults are filled in."""
    content: Text = ""
    """What tells the samples apart where the name does not: the label, for a dataset of own files."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """Those of `options` that differ from the declared defaults."""
    folds: Text | None = None
    """The user's file of folds."""
    folds_content: Text = ""
    """Hash of which sample lies in which fold of that file."""
    duplicates: Literal["group", "drop", "report"] = "group"
    """What becomes of images that are copies of each other."""
    duplicates_rule: Literal["near", "exact", "study"] = "near"
    """Which images are."""
    stratify: tuple[Text, ...] = ()
    """By what the folds that the seed deals are balanced."""


@dataclass(frozen=True, slots=True)
class JobFold:
    """Which of `count` folds train, validate and test; `index` names the split."""

    index: Index
    count: Annotated[int, Field(ge=1, lt=2**31)]
    layout: Text
    train: tuple[Index, ...]
    validation: tuple[Index, ...]
    test: tuple[Index, ...]
    """Empty for search jobs."""
    deal: Index = 0
    """Which dealing of the samples into folds: 0, or the repeat under `reshuffle`."""


@dataclass(frozen=True, slots=True)
class Need:
    """A job that must be done before this one, and what it is needed for."""

    digest: Digest
    role: Role


@dataclass(frozen=True, slots=True)
class Train:
    """Training and testing under the shared protocol."""

    training: Training
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    """None where it is bound late, to the best of the needed jobs of role "rate"."""
    search_monitor: Text
    """Validation metric by which these are compared."""
    kind: Literal["train"] = "train"


@dataclass(frozen=True, slots=True)
class Own:
    """A procedure of the runner's own on the same folds."""

    version: int
    settings: Mapping[str, Any]
    """Complete."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """Those that differ from the declared defaults."""
    kind: Literal["own"] = "own"


@dataclass(frozen=True, slots=True)
class Apply:
    """A step on what a finished job left behind."""

    step: Text
    version: int
    options: Mapping[str, Any]
    """Complete."""
    source: Text
    """Label of the dataset on which the needed job trained; `Job.dataset` is the one that is looked at."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """Those that differ from the declared defaults."""
    kind: Literal["apply"] = "apply"


Work = Train | Own | Apply


@dataclass(frozen=True, slots=True)
class Job:
    """An envelope around one kind of work."""

    digest: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")]
    """32 hexadecimal digits over the identity (bench_core.plan.identity); names the result's folder."""
    stage: Text
    """search, evaluate, or the label of a step."""
    model: JobModel
    dataset: JobDataset
    fold: JobFold
    pixels: Pixels
    scoring: Scoring
    seed: int
    """The spec's seed; see `job_seed` for the job's own."""
    work: Annotated[Work, Field(discriminator="kind")]
    needs: tuple[Need, ...] = ()
    repeat: Index = 0
    """Repetition of the same fold with other initial weights and another order of samples."""

    @property
    def name(self) -> str:
        """Readable and unique within a plan, for example evaluate/u-net/isic2018/fold-0."""
        parts = [self.stage, self.model.label, self.cell[1], f"fold-{self.fold.index}"]
        if self.repeat:
            parts.append(f"repeat-{self.repeat}")
        if self.stage == "search" and self.learning_rate is not None:
            parts.append(f"lr-{self.learning_rate!r}")
        return "/".join(parts)

    @property
    def cell(self) -> tuple[str, str]:
        """Model and dataset (labels) in the matrix of the study; of a step, those of the needed job."""
        dataset = self.work.source if isinstance(self.work, Apply) else self.dataset.label
        return self.model.label, dataset

    @property
    def training(self) -> Training:
        """Settings of training under the shared protocol; raises TypeError for other work."""
        if not isinstance(self.work, Train):
            raise TypeError(f"{self.name} does not train under the shared protocol")
        return self.work.training

    @property
    def epochs(self) -> int:
        """Planned epochs; 0 for work that has none."""
        return self.work.training.epochs if isinstance(self.work, Train) else 0

    @property
    def learning_rate(self) -> float | None:
        """The fixed rate; None where it is chosen late or there is none."""
        return self.work.learning_rate if isinstance(self.work, Train) else None

    @property
    def search_monitor(self) -> str:
        """Validation metric that chooses the rate, and that live views show."""
        return self.work.search_monitor if isinstance(self.work, Train) else "miou"

    def needed(self, role: Role) -> tuple[str, ...]:
        """Return the digests of the needed jobs of one role."""
        return tuple(need.digest for need in self.needs if need.role == role)

    @property
    def looked_at(self) -> tuple[str, ...]:
        """Digests of the jobs that a step looks at: all that it needs but peers and siblings."""
        return tuple(need.digest for need in self.needs if need.role not in ("peers", "siblings"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, from which `from_json` makes an equal job."""
        plain: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, data: Any) -> Job:
        """Rebuild a job from `to_json`'s data; raises ValueError naming the first value that does not fit."""
        # Not strict: JSON has arrays where a job has tuples.
        return _adapter().validate_python(data, strict=False)


@cache
def _adapter() -> TypeAdapter[Job]:
    return TypeAdapter(Job)


def job_seed(job: Job) -> int:
    """Return the seed of everything random in a job.

    It is the same for every model, learning rate and stage, so that all models see the same data in the
    same order; each repeat has its own.
    """
    parts = (job.seed, job.dataset.name, job.fold.index)
    return derive_seed(*parts, "repeat", job.repeat) if job.repeat else derive_seed(*parts)


def fold_seed(job: Job) -> int:
    """Return the seed by which samples are dealt into folds: the spec's, unless repeats deal anew."""
    return derive_seed(job.seed, "deal", job.fold.deal) if job.fold.deal else job.seed
