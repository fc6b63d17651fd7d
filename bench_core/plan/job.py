"""A job: one fully resolved unit of work, frozen, JSON-serializable, without code in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from bench_core.declarations import Task
from bench_core.seeds import derive_seed
from bench_core.spec.training import Training

Stage = Literal["search", "evaluate"]


@dataclass(frozen=True, slots=True)
class JobDeviation:
    """A protocol setting that this model takes differently, or where its network departs from its paper."""

    setting: str
    protocol: Any
    """What the protocol says; of a network, what was published."""
    value: Any
    """What the model takes."""
    because: str
    of: Literal["protocol", "network"] = "protocol"


@dataclass(frozen=True, slots=True)
class JobModel:
    """The network of a job."""

    label: str
    name: str
    family: str
    version: int
    runner: str
    pretrained: str
    weights: str | None
    """Path that the user gave for the weights file, or None."""
    options: Mapping[str, Any]
    """Complete: the declaration's defaults are filled in."""
    deviations: tuple[JobDeviation, ...] = ()
    """Settings of the protocol that it takes differently, and where the network departs from its paper."""
    content: str = ""
    """What tells the network apart where its name is a place: hash of the user's files that define it."""


@dataclass(frozen=True, slots=True)
class JobDataset:
    """The data of a job."""

    label: str
    name: str
    version: int
    task: Task
    root: str | None
    options: Mapping[str, Any]
    """Complete: the declaration's defaults are filled in."""
    content: str = ""
    """What tells the samples apart where the name does not: the label, for a dataset of own files."""


@dataclass(frozen=True, slots=True)
class JobFold:
    """Which of `count` folds train, validate and test; `index` names the split."""

    index: int
    count: int
    layout: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    """Empty for search jobs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One training job."""

    digest: str
    """32 hexadecimal digits over the identity (bench_core.plan.identity); names the result's folder."""
    stage: Stage
    model: JobModel
    dataset: JobDataset
    training: Training
    fold: JobFold
    learning_rate: float | None
    """None where it is bound late, to the best of the jobs in `needs`."""
    search_monitor: str
    """Validation metric by which `needs` are compared."""
    seed: int
    """The spec's seed; see `job_seed` for the job's own."""
    needs: tuple[str, ...] = ()
    """Digests of the search jobs that choose this job's learning rate."""

    @property
    def name(self) -> str:
        """Readable and unique within a plan, for example evaluate/u-net/isic2018/fold-0."""
        rate = (
            f"/lr-{self.learning_rate!r}" if self.stage == "search" and self.learning_rate is not None else ""
        )
        return f"{self.stage}/{self.model.label}/{self.dataset.label}/fold-{self.fold.index}{rate}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, from which `from_json` makes an equal job."""
        data = _shallow(self)
        data["model"] = _shallow(self.model)
        data["model"]["options"] = dict(self.model.options)
        data["model"]["deviations"] = [_shallow(deviation) for deviation in self.model.deviations]
        data["dataset"] = _shallow(self.dataset)
        data["dataset"]["task"] = {
            "classes": list(self.dataset.task.classes),
            "channels": self.dataset.task.channels,
        }
        data["dataset"]["options"] = dict(self.dataset.options)
        data["fold"] = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in _shallow(self.fold).items()
        }
        data["training"] = self.training.model_dump(mode="json")
        data["needs"] = list(self.needs)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Rebuild a job from `to_json`'s data."""
        model = dict(data["model"])
        model["deviations"] = tuple(JobDeviation(**item) for item in model["deviations"])
        dataset = dict(data["dataset"])
        task = dataset["task"]
        dataset["task"] = Task(classes=tuple(task["classes"]), channels=task["channels"])
        fold = dict(data["fold"])
        fold |= {role: tuple(fold[role]) for role in ("train", "validation", "test")}
        return cls(
            digest=data["digest"],
            stage=data["stage"],
            model=JobModel(**model),
            dataset=JobDataset(**dataset),
            training=Training.model_validate(data["training"], strict=False),
            fold=JobFold(**fold),
            learning_rate=data["learning_rate"],
            search_monitor=data["search_monitor"],
            seed=data["seed"],
            needs=tuple(data["needs"]),
        )


def job_seed(job: Job) -> int:
    """Return the seed of everything random in a job.

    It is the same for every model, learning rate and stage, so that all models see the same data in the
    same order.
    """
    return derive_seed(job.seed, job.dataset.name, job.fold.index)


def _shallow(part: Job | JobModel | JobDeviation | JobDataset | JobFold) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in fields(part)}
