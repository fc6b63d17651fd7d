"""Settings of the protocol alone: threshold, image size, normalization."""

from __future__ import annotations

import math

from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Normalization
from bench_core.spec.words import join


def check_threshold(context: Context) -> None:
    """A threshold of probabilities is one itself."""
    protocol = context.draft.protocol
    if protocol is None or not context.draft.sound(("protocol", "metrics")):
        return
    metrics = protocol.metrics
    if metrics.threshold_space == "probability" and not 0 <= metrics.threshold <= 1:
        context.error(
            "threshold",
            ("protocol", "metrics", "threshold"),
            f"a probability is never above {metrics.threshold:g}"
            if metrics.threshold > 1
            else f"every probability is above {metrics.threshold:g}",
            cause="the threshold is a probability, in [0, 1]",
            fix="write a value in [0, 1], or `threshold_space: logit`",
        )


def check_image_size(context: Context) -> None:
    """Every model must be able to take the protocol's image size."""
    protocol = context.draft.protocol
    loc: Loc = ("protocol", "image_size")
    if protocol is None or not context.draft.sound(loc):
        return
    size = protocol.image_size
    refusing, needs = [], []
    for _, entry, architecture in context.models():
        multiple, least = architecture.size_multiple, architecture.size_minimum
        if size % multiple == 0 and size >= least:
            continue
        refusing.append((multiple, least))
        wants = [f"a multiple of {multiple}"] * (multiple > 1) + [f"at least {least}"] * (least > 1)
        needs.append(f"{entry.label or entry.name} needs {' and '.join(wants)}")
    if not refusing:
        return
    fits = [(a.size_multiple, a.size_minimum) for _, _, a in context.models()]
    step, floor = math.lcm(*(multiple for multiple, _ in fits)), max(least for _, least in fits)
    lower = size // step * step
    upper = max(lower + step, math.ceil(floor / step) * step)
    sizes = [str(value) for value in (lower, upper) if value >= floor and value > 0]
    context.error(
        "image-size",
        loc,
        f"image_size {size} does not fit {len(refusing)} of the models",
        cause="; ".join(dict.fromkeys(needs)),
        fix=f"use {join(sizes)}" + (", which fits all models" if len(fits) > 1 else ""),
    )


def check_batch_size(context: Context) -> None:
    """Every model must be able to train on batches of the size that it gets."""
    protocol = context.draft.protocol
    if protocol is None:
        return
    for index, entry, architecture in context.models():
        own = entry.deviations.batch_size if entry.deviations is not None else None
        loc: Loc = ("models", index, "deviations", "batch_size") if own else ("protocol", "batch_size")
        size = own or protocol.batch_size
        if size >= architecture.batch_minimum or not context.draft.sound(loc):
            continue
        least = architecture.batch_minimum
        context.error(
            "batch-size",
            loc if own or "batch_size" in (context.given(("protocol",)) or {}) else ("protocol",),
            f"{entry.label or entry.name} cannot be trained on batches of {size}",
            cause="one of its layers normalizes a single pixel per image over the batch",
            fix=f"use a batch size of {least} or more, or leave the model out",
        )


def check_channels(context: Context) -> None:
    """Only gray images and those of three channels can be RGB."""
    protocol = context.draft.protocol
    if protocol is None or protocol.channels != "rgb" or not context.draft.sound(("protocol", "channels")):
        return
    for index, task in context.tasks.items():
        if task.channels not in (1, 3):
            context.error(
                "channels",
                ("datasets", index),
                f"images of {task.channels} channels cannot become RGB",
                cause="protocol.channels is rgb",
                fix="write `channels: native` under `protocol`",
            )


def check_normalization(context: Context) -> None:
    """Mean and standard deviation are of images in 0..1: one value, or one per channel that models see."""
    protocol = context.draft.protocol
    if protocol is None:
        return
    sections: list[tuple[Loc, Normalization]] = [(("protocol", "normalization"), protocol.normalization)]
    for index, entry in context.draft.models.items():
        if entry.deviations is not None and entry.deviations.normalization is not None:
            sections.append(
                (("models", index, "deviations", "normalization"), entry.deviations.normalization)
            )
    for loc, section in sections:
        for key in ("mean", "std"):
            value = getattr(section, key)
            misfits = sorted(
                count for count in context.image_channels if isinstance(value, list) and len(value) != count
            )
            if misfits and context.draft.sound((*loc, key)):
                context.error(
                    "normalization",
                    (*loc, key),
                    f"{key} has {len(value)} values for images of {join(list(map(str, misfits)))} channels",
                    cause=f"protocol.channels is {protocol.channels}: one value for all, or one per channel",
                    fix="write one value, or as many as there are channels",
                )
            _check_scale(context, (*loc, key), value)


def _check_scale(context: Context, loc: Loc, value: float | list[float]) -> None:
    """Refuse what no image in 0..1 can have: a mean or a standard deviation above 1."""
    values = value if isinstance(value, list) else [value]
    if not context.draft.sound(loc) or max(values, default=0) <= 1:
        return
    divided = ", ".join(f"{each / 255:.4g}" for each in values)
    shown = f"[{divided}]" if isinstance(value, list) else divided
    context.error(
        "normalization",
        loc,
        f"{loc[-1]} is {', '.join(f'{each:g}' for each in values)}: that is of images in 0..255",
        cause="images are in 0..1 before they are normalized",
        fix=f"divide it by 255: {shown}",
    )
