"""What a step `grad-cam` can be told, and what of it counts for each of its sets; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bench_core.declarations import Metric
from bench_core.options import Option

WORST, COMMON, RANDOM = "worst", "common-worst", "random"
SETS = (WORST, COMMON, RANDOM)
FOLDS = "folds"
"""What the name of a part begins with in which the networks of all folds look at a set."""
METHODS = ("grad-cam", "grad-cam++", "hires-cam", "seg-eigen-cam")
PREDICTED, TRUTH = "predicted", "truth"
TARGETS = (PREDICTED, TRUTH)
VOTED = "voted"
"""Target of a comparison on another dataset: the pixels that the vote of all folds labels as the class."""
IMPUTERS: tuple[Literal["blur", "mean"], ...] = ("blur", "mean")
"""What pixels are replaced by."""
SWEEP, ENCODER, DECODER, AUTO = "sweep", "encoder", "decoder", "auto"
LISTS = {"sets": SETS, "methods": METHODS, "targets": TARGETS}

OPTIONS: Mapping[str, Option] = {
    "sets": Option(
        type=list,
        default=list(SETS),
        choices=SETS,
        help="Of which test images: the worst of each fold by the model's own Dice, the worst by the mean "
        "Dice of all models, random ones. Each has jobs of its own.",
    ),
    "worst": Option(
        type=int, default=50, minimum=1, maximum=10_000, help="Images of each fold in a set of worst ones."
    ),
    "random": Option(
        type=int, default=50, minimum=1, maximum=10_000, help="Images of each fold in the random set."
    ),
    "folds": Option(
        type=list,
        default=[],
        choices=SETS,
        help="Of which sets the networks of all folds of a model make maps of the same images, which are "
        "compared. Each has jobs of its own.",
    ),
    "fold_images": Option(
        type=int,
        default=10,
        minimum=1,
        maximum=10_000,
        help="Images of each of these sets that the networks of all folds look at, the worst first.",
    ),
    "pool": Option(
        type=str,
        default="all",
        names="pool",
        counts=False,
        help="The pool whose models decide about common-worst.",
    ),
    "layer": Option(
        type=str,
        default=SWEEP,
        help="sweep: all encoder stages and the last decoder layer; encoder: the deepest stage; decoder; "
        "auto: the last module whose maps have a gradient, as the study has it; or a module's name.",
    ),
    "methods": Option(type=list, default=["grad-cam"], choices=METHODS, help="How maps are made."),
    "targets": Option(
        type=list,
        default=list(TARGETS),
        choices=TARGETS,
        help="Whose logits are explained: of the pixels that are predicted as the class, or that are it.",
    ),
    "interventions": Option(
        type=int, default=5, minimum=0, help="Images of a set whose marked pixels are replaced."
    ),
    "stability": Option(type=int, default=5, minimum=0, help="Images of a set that are moved."),
    "randomization": Option(
        type=int, default=2, minimum=0, help="Images of a set that are looked at with shuffled weights."
    ),
}

ELSEWHERE: Mapping[str, Option] = {
    "images": Option(type=int, default=20, minimum=1, maximum=10_000, help="Random images there."),
    "layer": OPTIONS["layer"],
    "methods": OPTIONS["methods"],
    "overlap": Option(
        type=str,
        default="refuse",
        choices=("refuse", "drop"),
        help="Images there that are copies of training images: refused, or left out.",
    ),
}
"""Of the step `fold-maps`."""


def resolve_elsewhere(options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Mapping[str, Any]:
    """Return complete options of `fold-maps`; raises as `resolve`."""
    return _resolved(options, {"methods": METHODS})


def resolve(options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Mapping[str, Any]:
    """Return complete options with lists in one order; raise ValueError for one that is empty or names
    something twice, and for a layer without a name."""
    return _resolved(options, {**LISTS, "folds": SETS}, empty="folds")


def _resolved(
    options: Mapping[str, Any], lists: Mapping[str, tuple[str, ...]], empty: str = ""
) -> Mapping[str, Any]:
    found = dict(options)
    for name, known in lists.items():
        given = options[name]
        if (not given and name != empty) or len(set(given)) != len(given):
            raise ValueError(f"option {name!r} lists {'something twice' if given else 'nothing'}")
        found[name] = [item for item in known if item in given]
    if not options["layer"]:
        raise ValueError("option 'layer' names no layer")
    return found


def parts(options: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the options of each set, and of each whose maps are compared over folds; what has no effect on
    one is at its default."""
    unused = {WORST: "random", COMMON: "random", RANDOM: "worst"}
    alone = {
        name: _but(options, unused[name], "folds", "fold_images", sets=[name]) for name in options["sets"]
    }
    further = ("worst", "random", "interventions", "stability", "randomization")
    across = {
        f"{FOLDS}-{name}": _but(options, *further, sets=[name], folds=[name]) for name in options["folds"]
    }
    return {**alone, **across}


def _but(options: Mapping[str, Any], *unused: str, **given: Any) -> Mapping[str, Any]:
    return {**options, **{name: OPTIONS[name].default for name in unused}, **given}


def peers(options: Mapping[str, Any]) -> str | None:
    """Return the pool whose label maps the common set needs, None of other sets."""
    return str(options["pool"]) if options["sets"] == [COMMON] else None


def siblings(options: Mapping[str, Any]) -> bool:
    """Say whether a part is about the networks of all folds."""
    return bool(options["folds"])
