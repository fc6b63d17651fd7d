"""Augmentation: transforms that move image and mask together, with arguments of the right kind."""

from __future__ import annotations

import math
from typing import Any

from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc
from bench_core.spec.transforms import BORDERED, REFUSED, REFUSED_ARGUMENTS, REQUIRED, SIZE, TRANSFORMS
from bench_core.spec.words import join, nearest, shown


def check_augmentation(context: Context) -> None:
    """Check the protocol's list, the datasets' own ones and the models' deviating ones."""
    for loc in _lists(context):
        _list(context, loc)


def check_padding(context: Context) -> None:
    """`padding: ignore` needs something that is padded: images, or augmented ones beyond their border."""
    protocol = context.draft.protocol
    if protocol is None or protocol.padding == "background" or protocol.resize != "stretch":
        return
    lists = _lists(context)
    if not context.draft.sound(("protocol", "resize"), ("protocol", "padding"), *lists):
        return
    if any(name in BORDERED for loc in lists for name in _names(context.given(loc))):
        return
    context.error(
        "padding",
        ("protocol", "padding"),
        "`padding: ignore` would have no effect with `resize: stretch`",
        cause="stretched images fill the square, and no augmentation here reaches beyond their border",
        fix="remove `padding`, or write `resize: pad-square`",
    )


def _lists(context: Context) -> list[Loc]:
    return [
        ("protocol", "augmentation"),
        *(("datasets", index, "augmentation") for index in context.draft.datasets),
        *(("models", index, "deviations", "augmentation") for index in context.draft.models),
    ]


def _names(items: Any) -> set[str]:
    listed = items if isinstance(items, list) else []
    return {name for item in listed for name in (item if isinstance(item, dict) else [item])}


def _list(context: Context, loc: Loc) -> None:
    items = context.given(loc)
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, str):
            _transform(context, (*loc, index), item, {})
        elif isinstance(item, dict):
            if len(item) != 1:
                context.error(
                    "augmentation",
                    (*loc, index),
                    f"an item holds {len(item)} transforms",
                    cause="the order of transforms is the order of the list",
                    fix="write one transform per item: - RandomHorizontalFlip: {p: 0.5}",
                )
            for name, arguments in item.items():
                if arguments is None or isinstance(arguments, dict):
                    _transform(context, (*loc, index), name, arguments or {})


def _transform(context: Context, loc: Loc, name: str, arguments: dict[str, Any]) -> None:
    here: Loc = (*loc, name) if isinstance(context.given(loc), dict) else loc
    if name not in TRANSFORMS:
        reason = REFUSED.get(name)
        context.error(
            "augmentation",
            here,
            f"transform {name!r} cannot be used" if reason else f"unknown transform {name!r}",
            cause=reason
            or "transforms are those of torchvision.transforms.v2 that keep image and mask together",
            fix=(None if reason else nearest(name, TRANSFORMS)) or f"use one of {', '.join(TRANSFORMS)}",
            key=True,
        )
        return
    for argument, value in arguments.items():
        _argument(context, (*here, argument), name, argument, value)
    if name == "Grayscale":
        _gray(context, here, arguments)
    missing = [argument for argument in REQUIRED.get(name, ()) if argument not in arguments]
    if missing:
        context.error(
            "augmentation",
            here,
            f"{name} needs {join(missing)}",
            cause="it has no default",
            fix=f"write - {name}: {{{missing[0]}: ...}}",
            key=True,
        )


def _gray(context: Context, loc: Loc, arguments: dict[str, Any]) -> None:
    made = arguments.get("num_output_channels", 1)
    seen = context.image_channels
    if made in (1, 3) and seen - {made}:
        context.error(
            "augmentation",
            (*loc, "num_output_channels") if arguments else loc,
            f"Grayscale would make images of {made} channel{'s' if made > 1 else ''} from those of "
            f"{join([str(count) for count in sorted(seen - {made})])}",
            cause="augmentation keeps the number of channels (protocol.channels)",
            fix="write - Grayscale: {num_output_channels: 3}" if seen == {3} else "remove it",
            key=not arguments,
        )


def _argument(context: Context, loc: Loc, name: str, argument: str, value: Any) -> None:
    kinds = TRANSFORMS[name]
    if argument not in kinds:
        reason = REFUSED_ARGUMENTS.get(argument)
        context.error(
            "augmentation",
            loc,
            f"{name} takes no {argument!r} here" if reason else f"{name} has no argument {argument!r}",
            cause=reason or (f"its arguments are {join(list(kinds))}" if kinds else "it takes no arguments"),
            fix=(None if reason else nearest(argument, kinds)) or "remove it",
            key=True,
        )
    elif not kinds[argument].accepts(value):
        context.error(
            "augmentation",
            loc,
            f"{argument} of {name} is {shown(value)}, but must be {kinds[argument].words}",
            fix=f"write {kinds[argument].words}",
        )
    elif _reach(name, argument, value) >= _side(context):
        context.error(
            "augmentation",
            loc,
            f"{argument} of {name} reaches {_reach(name, argument, value)} pixels beyond the border",
            cause=f"the border is mirrored, and the image has {_side(context)} pixels",
            fix="write a smaller one",
        )
    elif kinds[argument] is SIZE:
        protocol = context.draft.protocol
        sizes = set(value if isinstance(value, list) else [value])
        if (
            protocol is not None
            and context.draft.sound(("protocol", "image_size"))
            and sizes != {protocol.image_size}
        ):
            context.error(
                "augmentation",
                loc,
                f"{name} would change the image's size to {value}",
                cause=f"protocol.image_size is {protocol.image_size}, and augmentation keeps it",
                fix=f"write {argument}: {protocol.image_size}",
            )


def _reach(name: str, argument: str, value: Any) -> int:
    """Return how many pixels beyond the border a blur reads, 0 for whatever is not a blur."""
    values = value if isinstance(value, list) else [value]
    if argument == "kernel_size":
        return int(max(values)) // 2
    if name == "ElasticTransform" and argument == "sigma":
        # torchvision's kernel has int(8 sigma + 1) pixels, or one more.
        return int(4 * max(values) + 1)
    return 0


def _side(context: Context) -> float:
    protocol = context.draft.protocol
    known = protocol is not None and context.draft.sound(("protocol", "image_size"))
    return protocol.image_size if protocol is not None and known else math.inf
