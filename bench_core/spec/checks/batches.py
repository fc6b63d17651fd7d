"""Batches in parts: smaller than the batch, and what they change."""

from __future__ import annotations

from bench_core.spec.checks.context import Context
from bench_core.spec.loss import Losses
from bench_core.spec.nodes import Loc
from bench_core.spec.words import join

_OF_REGIONS = ("dice", "tversky")


def check_batches(context: Context) -> None:
    """Check `micro_batch` of the protocol and of each model that deviates in it or in the batch size."""
    protocol = context.draft.protocol
    if protocol is None or not context.draft.sound(("protocol", "batch_size"), ("protocol", "micro_batch")):
        return
    loc: Loc = ("protocol", "micro_batch")
    _smaller(context, loc, protocol.micro_batch, protocol.batch_size)
    parted = [loc] if protocol.micro_batch != "off" else []
    for index, entry in context.draft.models.items():
        own: Loc = ("models", index, "deviations")
        if entry.deviations is None or not context.draft.sound(own):
            continue
        micro, batch = entry.deviations.micro_batch, entry.deviations.batch_size
        if micro is not None:
            _smaller(context, (*own, "micro_batch"), micro, batch or protocol.batch_size)
            parted += [(*own, "micro_batch")] if micro != "off" else []
        elif batch is not None and protocol.micro_batch != "off":
            _smaller(context, (*own, "batch_size"), protocol.micro_batch, batch)
    names = _losses_of_regions(context)
    if parted and names:
        context.error(
            "micro-batch",
            parted[0],
            f"{join(names)} of a batch in parts is the mean over the parts",
            cause="it is a ratio of sums over the batch, and each part is seen alone",
            fix="use bce, cross-entropy or focal, whose steps stay the same, or accept the difference",
            key=True,
            severity="warning",
        )


def check_parts(context: Context) -> None:
    """Every model must be able to train on parts of the size that it gets."""
    protocol = context.draft.protocol
    if protocol is None:
        return
    for index, entry, architecture in context.models():
        own = entry.deviations.micro_batch if entry.deviations is not None else None
        loc: Loc = (
            ("protocol", "micro_batch") if own is None else ("models", index, "deviations", "micro_batch")
        )
        micro = protocol.micro_batch if own is None else own
        # Parts of a batch differ by one image, and of an epoch's last batch nothing is known here.
        least = 2 * architecture.batch_minimum - 1
        if isinstance(micro, int) and micro < least and context.draft.sound(loc):
            context.error(
                "micro-batch",
                loc,
                f"{entry.label or entry.name} cannot be trained with a micro_batch of {micro}",
                cause=f"a part may then hold fewer than {architecture.batch_minimum} images, and one of its "
                "layers normalizes a single pixel per image over the part",
                fix=f"use {least} or more, or let the model deviate with `micro_batch: off`",
            )


def check_devices(context: Context) -> None:
    """Each device must have enough of a batch where it takes the statistics of batch norm from its part."""
    protocol, devices = context.draft.protocol, context.draft.devices_per_job
    if protocol is None or protocol.sync_batch_norm or devices == 1:
        return
    if not context.draft.sound(("runtime", "devices_per_job"), ("protocol", "micro_batch")):
        return
    pooled: list[str] = []
    small: dict[Loc, int] = {}
    shared: Loc = ("protocol", "sync_batch_norm")
    for index, entry, architecture in context.models():
        runner = context.registry.runners.get(entry.runner or architecture.runner)
        if runner is None or not runner.several_devices:
            continue
        own = entry.deviations
        batch = own.batch_size if own is not None else None
        micro = own.micro_batch if own is not None else None
        size, most = batch or protocol.batch_size, protocol.micro_batch if micro is None else micro
        least = size // (1 if most == "off" else -(-size // most)) // devices
        if architecture.batch_minimum > 1:
            pooled.append(entry.label or entry.name)
        elif least < protocol.smallest_device_batch:
            small[shared if batch is None else ("models", index, "deviations", "batch_size")] = least
    if pooled:
        context.error(
            "device-batch",
            shared,
            f"{join(pooled)} cannot be trained on {devices} devices without `sync_batch_norm`",
            cause="a layer normalizes a single pixel per image over the batch, and of an epoch's last batch "
            "a device may have one image",
            fix="remove `sync_batch_norm: false`, leave the model out, or train on one device",
            key=True,
        )
    for loc, least in small.items():
        context.error(
            "device-batch",
            loc,
            f"of a batch each of {devices} devices would have {least} images",
            cause="batch norm would take its statistics from these alone",
            fix="remove `sync_batch_norm: false`, use larger batches, or accept it with "
            f"`smallest_device_batch: {max(least, 1)}`",
            key=True,
        )


def _smaller(context: Context, loc: Loc, micro: int | str, batch: int) -> None:
    if isinstance(micro, int) and micro >= batch:
        context.error(
            "micro-batch",
            loc,
            f"a micro_batch of {micro} does not part a batch of {batch}",
            cause="it is the number of images that pass through the network at a time",
            fix="write a smaller one, or `micro_batch: off`",
        )


def _losses_of_regions(context: Context) -> list[str]:
    protocol = context.draft.protocol
    given: list[str | Losses | None] = [entry.loss for entry in context.draft.datasets.values()]
    given += [entry.deviations.loss for entry in context.draft.models.values() if entry.deviations]
    if protocol is not None and (None in given or not given):
        given.append(protocol.loss)
    names = {
        name
        for loss in given
        for name in (dict(loss.terms()) if isinstance(loss, Losses) else [loss])
        if name in _OF_REGIONS
    }
    return sorted(names)
