"""What a step's options mean on a dataset; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_core import Option
from bench_core.declarations import Side
from bench_core.errors import PluginError
from bench_steps.corruption.declared import SEVERITIES, WORDS, Corruption, modalities_of

AUTO = "auto"


def options_of(kinds: Sequence[Corruption]) -> dict[str, Option]:
    """Return the options of a step that draws these corruptions."""
    return {
        "kinds": Option(
            type=object,
            default=AUTO,
            choices=(AUTO, *(kind.name for kind in kinds)),
            help="Which corruptions, a list; auto: all that go with a dataset's modality and channels.",
        ),
        "severities": Option(
            type=list, default=[1, 3, 5], choices=SEVERITIES, help="Of the five severities, which."
        ),
        "modality": Option(
            type=str,
            default="",
            choices=("", *WORDS),
            help="Of images whose dataset does not declare it, as of files of your own.",
        ),
    }


def resolve(options: Mapping[str, Any], kinds: Sequence[Corruption]) -> dict[str, Any]:
    """Return complete options with names and severities in one order; raise ValueError for an empty list."""
    given = options["kinds"]
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("option 'kinds' must be a list of names, or auto")
    if any(type(each) is not int for each in options["severities"]):
        raise ValueError("option 'severities' lists something else than whole numbers from 1 to 5")
    for name, values in (("kinds", names), ("severities", options["severities"])):
        if not values:
            raise ValueError(f"option {name!r} lists nothing")
        if len(set(values)) != len(values):
            raise ValueError(f"option {name!r} lists something twice")
    if AUTO in names and len(names) > 1:
        raise ValueError("option 'kinds' is a list of names or auto, not both")
    listed = [kind.name for kind in kinds if kind.name in names]
    return {
        "kinds": AUTO if names == [AUTO] else listed,
        "severities": sorted(options["severities"]),
        "modality": options["modality"],
    }


def adapt(options: Mapping[str, Any], data: Side, kinds: Sequence[Corruption]) -> dict[str, Any]:
    """Return which kinds, each with its version, are drawn on a dataset, and their severities.

    Raises ValueError for a kind that is asked for by name and does not go with the dataset.
    """
    said, known = options["modality"], modalities_of(data.modality)
    if said and data.modality and said not in known:
        raise ValueError(f"`modality` is {said}, and {data.title} is {data.modality}")
    modality, channels = data.modality or said, data.task.channels
    if options["kinds"] == AUTO:
        # Without a word about the modality nobody knows whether hair would make sense.
        chosen = [
            kind
            for kind in kinds
            if not kind.misfit(data.title, modality, channels) and (modality or not kind.modalities)
        ]
    else:
        chosen = [kind for kind in kinds if kind.name in options["kinds"]]
        wrong = [reason for kind in chosen if (reason := kind.misfit(data.title, modality, channels))]
        if wrong:
            raise ValueError("; ".join(wrong))
    if not chosen:
        raise ValueError(f"none of the corruptions goes with {data.title}")
    return {
        "kinds": [{"name": kind.name, "version": kind.version} for kind in chosen],
        "severities": options["severities"],
    }


def conditions_of(
    options: Mapping[str, Any], kinds: Sequence[Corruption]
) -> tuple[tuple[Corruption, int], ...]:
    """Return the corruptions of a job, each with each severity, in the order of its options.

    Raises PluginError for a kind or version that is not declared.
    """
    known = {(kind.name, kind.version): kind for kind in kinds}
    found = []
    for entry in options["kinds"]:
        kind = known.get((entry["name"], entry["version"]))
        if kind is None:
            raise PluginError(
                f"no corruption {entry['name']!r} of version {entry['version']} is declared",
                fix="run `bench plan`: the job was planned by another version of the program",
            )
        found += [(kind, severity) for severity in options["severities"]]
    return tuple(found)
