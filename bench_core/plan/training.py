"""The protocol of one cell of the matrix: dataset's and model's changes applied, nothing left open."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from bench_core.declarations import Task
from bench_core.options import differing
from bench_core.plan.errors import PlanError
from bench_core.plan.job import JobDeviation, JobModel
from bench_core.plan.resolve import DatasetChoice, ModelChoice
from bench_core.spec.change import applied
from bench_core.spec.loss import Losses
from bench_core.spec.protocol import DEVIATING_FIELDS, EarlyStopping, Protocol, Section
from bench_core.spec.training import Pixels, Scoring, Training

Settings = dict[str, Any]


class Cell:
    """One model on one dataset: the job's model with its deviations, and the settings of any stage.

    `devices` train each job where its runner can use them.
    """

    def __init__(
        self, protocol: Protocol, model: ModelChoice, dataset: DatasetChoice, devices: int = 1
    ) -> None:
        task = dataset.job.task
        base = _protocol_settings(protocol, dataset, task, devices if model.runner.several_devices else 1)
        self._settings = {
            setting: _changed(setting, value, model.changes[setting][0], task, f"model {model.label!r}")
            if setting in model.changes
            else value
            for setting, value in base.items()
        }
        self.choice = model
        self.dataset = dataset.job
        self.given = dataset.given
        # One object for all cells: identity looks at each object once.
        self.pixels = _pixels(protocol.image_size, protocol.resize, protocol.channels, protocol.padding)
        self.scoring = _scoring(protocol.metrics.threshold, protocol.metrics.threshold_space)
        self.model = JobModel(
            label=model.label,
            name=model.name,
            family=model.architecture.family,
            version=model.architecture.version,
            runner=model.runner.name,
            pretrained=model.pretrained,
            weights=model.weights,
            options=model.options,
            deviations=_deviations(base, self._settings, model),
            departures=model.architecture.departures,
            content=model.architecture.content,
            chosen=differing(model.architecture.options, model.options),
        )

    def training(self, epochs: int, early_stopping: EarlyStopping | Literal["off"]) -> Training:
        """Return the settings of a stage of so many epochs."""
        stopping = None if early_stopping == "off" else early_stopping
        return Training(**self._settings, epochs=epochs, early_stopping=stopping)


@cache
def _pixels(*values: Any) -> Pixels:
    return Pixels(**dict(zip(("image_size", "resize", "channels", "padding"), values, strict=True)))


@cache
def _scoring(*values: Any) -> Scoring:
    return Scoring(**dict(zip(("threshold", "threshold_space"), values, strict=True)))


def _protocol_settings(protocol: Protocol, dataset: DatasetChoice, task: Task, devices: int) -> Settings:
    entry = dataset.entry
    augmentation = protocol.augmentation if entry.augmentation is None else entry.augmentation
    return {
        "normalization": protocol.normalization,
        "optimizer": protocol.optimizer,
        "schedule": protocol.schedule,
        "batch_size": protocol.batch_size,
        "micro_batch": _switched(protocol.micro_batch),
        "norm_devices": devices if devices > 1 and not protocol.sync_batch_norm else None,
        "precision": protocol.precision,
        "loss": _loss(protocol.loss if entry.loss is None else entry.loss, task),
        "augmentation": _augmentation(augmentation),
        "gradient_clipping": _switched(protocol.gradient_clipping),
        "checkpoint": protocol.checkpoint,
    }


def _changed(setting: str, current: Any, change: Any, task: Task, place: str) -> Any:
    if setting == "loss":
        return _loss(change, task)
    if isinstance(change, Section):
        try:
            return applied(current, change)
        except ValueError as error:
            raise PlanError(
                f"a deviation of {setting} does not fit the protocol's",
                place=place,
                cause=str(error),
                fix="give the deviation a `name` to replace the protocol's as a whole, or remove the setting",
            ) from error
    if setting == "augmentation":
        return _augmentation(change)
    if setting in ("gradient_clipping", "micro_batch"):
        return _switched(change)
    return change


def _loss(value: str | Losses, task: Task) -> Losses:
    if isinstance(value, Losses):
        return value
    if value == "auto":
        value = "bce" if task.binary else "cross-entropy"
    return Losses.model_validate({value: 1.0})


def _augmentation(
    items: list[str | dict[str, dict[str, Any] | None]],
) -> tuple[tuple[str, dict[str, Any]], ...]:
    steps: list[tuple[str, dict[str, Any]]] = []
    for item in items:
        if isinstance(item, str):
            steps.append((item, {}))
        else:
            steps.extend((name, dict(arguments or {})) for name, arguments in item.items())
    return tuple(steps)


def _switched(value: float | Literal["off"]) -> float | None:
    return None if value == "off" else value


def _deviations(base: Settings, settings: Settings, model: ModelChoice) -> tuple[JobDeviation, ...]:
    found = [model.pretrained_deviation] if model.pretrained_deviation else []
    for setting in DEVIATING_FIELDS:
        if setting not in model.changes:
            continue
        because = model.changes[setting][1]
        before, after = base[setting], settings[setting]
        if isinstance(before, Section) and not isinstance(before, Losses):
            old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
            found.extend(
                JobDeviation(f"{setting}.{name}", old.get(name), new.get(name), because)
                for name in dict.fromkeys(("name", *old, *new))
                if old.get(name) != new.get(name)
            )
        elif before != after:
            found.append(JobDeviation(setting, _plain(before), _plain(after), because))
    return tuple(found)


def _plain(value: Any) -> Any:
    """Return plain JSON data, with `off` for what is switched off."""
    if value is None:
        return "off"
    if isinstance(value, Losses):
        return value.plain()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
