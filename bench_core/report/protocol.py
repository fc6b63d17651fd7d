"""The protocol as a person would write it in a methods section."""

from __future__ import annotations

from collections.abc import Iterator

from bench_core.report.names import METRIC_TITLES, plural, rate, setting
from bench_core.spec.loss import Losses
from bench_core.spec.model import Spec
from bench_core.spec.protocol import (
    SGD,
    Best,
    Constant,
    EarlyStopping,
    Normalization,
    Optimizer,
    Poly,
    Protocol,
    Rex,
    Schedule,
)
from bench_core.spec.schedule import WarmupSteps


def protocol_lines(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Return item and setting, in the order of the way of an image through a job."""
    protocol, size = spec.protocol, spec.protocol.image_size
    return (
        ("input", f"{size} × {size} pixels, {protocol.resize}, channels: {protocol.channels}"),
        ("normalization", _normalization(protocol.normalization)),
        ("encoder", f"pretrained: {protocol.pretrained}"),
        ("augmentation", _augmentation(protocol.augmentation)),
        *_per_dataset(spec),
        ("optimizer", _optimizer(protocol.optimizer)),
        ("schedule", _schedule(protocol.schedule)),
        ("batch size", _batch(protocol)),
        *_norms(spec),
        ("precision", protocol.precision),
        ("loss", _loss(protocol.loss)),
        ("gradient clipping", setting(protocol.gradient_clipping)),
        ("early stopping", _stopping(protocol.early_stopping)),
        ("tested weights", _checkpoint(protocol)),
        ("learning rate", _rate(protocol)),
        ("cross-validation", _evaluate(protocol)),
        ("metrics", _metrics(protocol)),
    )


def _batch(protocol: Protocol) -> str:
    if protocol.micro_batch == "off":
        return str(protocol.batch_size)
    return (
        f"{protocol.batch_size}, in parts of at most {protocol.micro_batch} whose gradients are added up; "
        "batch normalization and losses of regions see a part at a time, which departs from a whole batch"
    )


def _norms(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield how several devices compute batch norm."""
    devices, synchronized = spec.runtime.devices_per_job, spec.protocol.sync_batch_norm
    if devices > 1:
        text = (
            "statistics of the whole batch, synchronized over"
            if synchronized
            else ("statistics of each device's part of a batch, which departs from one device, on")
        )
        yield "batch norm", f"{text} {devices} devices"


def _per_dataset(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield what single datasets take differently, for all models alike."""
    for entry in spec.datasets:
        label = entry.label or entry.name
        if entry.augmentation is not None:
            yield f"augmentation on {label}", _augmentation(entry.augmentation)
        if entry.loss is not None:
            yield f"loss on {label}", _loss(entry.loss)


def _loss(value: str | Losses) -> str:
    if value == "auto":
        return "binary cross-entropy for one foreground class, otherwise cross-entropy"
    if isinstance(value, str):
        return _term(value, Losses.model_validate({value: 1.0}))
    return " + ".join(f"{term.weight:g} {_term(name, value)}" for name, term in value.terms())


def _term(name: str, losses: Losses) -> str:
    """Return a loss's name with those of its settings that act."""
    data = dict(losses.terms())[name].model_dump(exclude={"weight"}, exclude_none=True)
    idle = {"weights": "equal", "label_smoothing": 0.0}
    acting = {key.replace("_", " "): item for key, item in data.items() if idle.get(key) != item}
    return f"{name} ({setting(acting)})" if acting else name


def _normalization(item: Normalization) -> str:
    return f"mean {setting(item.mean)}, std {setting(item.std)}"


def _augmentation(steps: list) -> str:
    named = []
    for step in steps:
        if isinstance(step, str):
            named.append(step)
        else:
            named += [f"{name}({setting(arguments or {})})" for name, arguments in step.items()]
    return "; ".join(named) or "none"


def _optimizer(item: Optimizer) -> str:
    more = f"momentum {item.momentum:g}" if isinstance(item, SGD) else f"betas {setting(item.betas)}"
    decay = " (weights only)" if item.decay == "weights-only" else ""
    encoder = f", encoder at {item.encoder_factor:g} of the rate" if item.encoder_factor != 1 else ""
    layers = f", layer-wise decay of the rate {item.layer_decay:g}" if item.layer_decay != 1 else ""
    return f"{item.name}, weight decay {setting(item.weight_decay)}{decay}, {more}{encoder}{layers}"


def _schedule(item: Schedule) -> str:
    if isinstance(item, Constant):
        return f"{item.name}{_warmup(item)}"
    details = f", power {item.power:g}" if isinstance(item, Poly) else ""
    if isinstance(item, Rex):
        details = f", alpha {item.alpha:g}, beta {item.beta:g}"
    floor = f", never below {rate(item.min_lr)}" if item.min_lr else ""
    return f"{item.name}, evaluated every {item.step}{details}{floor}{_warmup(item)}"


def _warmup(item: Schedule) -> str:
    warmup = item.warmup
    if warmup == "off":
        return ""
    if isinstance(warmup, WarmupSteps):
        length = plural(warmup.steps, "step")
    else:
        length = plural(warmup.epochs, "epoch")
    return f", after a linear warm-up over {length} from {warmup.factor:g} of the rate"


def _stopping(item: EarlyStopping | str) -> str:
    if isinstance(item, str):
        return item
    return (
        f"when validation {METRIC_TITLES[item.monitor]} has not risen by {item.min_delta:g} "
        f"for {plural(item.patience, 'epoch')}"
    )


def _checkpoint(protocol: Protocol) -> str:
    if isinstance(protocol.checkpoint, Best):
        return f"epoch with the best validation {METRIC_TITLES[protocol.checkpoint.monitor]}"
    return "last epoch"


def _rate(protocol: Protocol) -> str:
    search = protocol.search
    if search is None:
        return rate(protocol.learning_rate or 0.0)
    grid = ", ".join(rate(value) for value in search.learning_rate)
    where = (
        "nested: one search for each evaluate fold"
        if search.nested
        else f"on {plural(len(search.folds), 'fold')} ({', '.join(str(fold) for fold in search.folds)})"
    )
    return (
        f"searched over {grid}; {plural(search.epochs, 'epoch')} each, {where}, "
        f"best validation {METRIC_TITLES[search.monitor]}, early stopping: {_stopping(search.early_stopping)}"
    )


def _evaluate(protocol: Protocol) -> str:
    item = protocol.evaluate
    layout = {
        "rotate": "fold i validates, fold i + 1 tests, the others train",
        "holdout": "fold i validates and tests, the others train",
    }[item.layout]
    if item.layout == "holdout" and protocol.checkpoint.choose == "best":
        layout += " (so the tested epoch is the best on the test images, which flatters every model)"
    only = f"; only folds {', '.join(str(fold) for fold in item.only)}" if item.only else ""
    repeats = ""
    if item.repeats > 1:
        dealt = "other folds at each" if item.reshuffle else "the same folds"
        repeats = f"; {item.repeats} repeats with other initial weights and orders, {dealt}"
    return f"{item.folds} folds, {layout}; at most {plural(item.epochs, 'epoch')}{only}{repeats}"


def _metrics(protocol: Protocol) -> str:
    item = protocol.metrics
    return (
        "pixel counts pooled over images and foreground classes; binary tasks: foreground above "
        f"{item.threshold_space} {item.threshold:g}"
    )
