"""Which weights files a network reads and where they lie; what is in them is `load`'s affair."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from bench_core.declarations import Architecture, PublishedFile
from bench_core.errors import PluginError, WeightsError
from bench_core.files.paths import expand

WEIGHTS_FOLDER = "SEGTRIAL_WEIGHTS"
"""Environment variable that names a folder of weights files."""
_ALIKE = 4
"""Letters that a file's name must share with a published one to be taken for it."""


def weights_folder() -> Path | None:
    """Return the folder $SEGTRIAL_WEIGHTS, which need not exist, or None."""
    folder = os.environ.get(WEIGHTS_FOLDER)
    return expand(folder, f"${WEIGHTS_FOLDER}") if folder else None


def wanted_files(
    architecture: Architecture, source: str, options: Mapping[str, Any]
) -> tuple[PublishedFile, ...]:
    """Return the files that the architecture reads from a source; none from scratch.

    Raises WeightsError where there are none for these options, PluginError for a declaration that is not one.
    """
    if source == "none" or architecture.weights is None:
        return ()
    try:
        found = tuple(architecture.weights(source, options))
    except WeightsError:
        raise
    except Exception as error:  # it is a plugin's code
        raise PluginError(
            f"`weights` of {architecture.name} failed: {error}", cause=getattr(error, "cause", None)
        ) from error
    for file in found:
        if not isinstance(file, PublishedFile):
            raise PluginError(
                f"`weights` of {architecture.name} returned {file!r}", fix="return PublishedFile objects"
            )
    return found


def find_files(
    architecture: Architecture, source: str, options: Mapping[str, Any], given: Path | None = None
) -> tuple[Path, ...]:
    """Return the files to fill a network from, in the order in which its architecture declares them.

    `given` is the user's own file. It stands for the one that is declared, or for the one of several that its
    name resembles; the others are then looked for beside it, too. Raises WeightsError naming what is missing
    and where it was looked for. Nothing is downloaded and no framework imported.
    """
    if (source == "none" and given is not None) or source not in architecture.pretrained:
        raise WeightsError(
            f"there are no pretrained weights for {architecture.name}"
            + (" from scratch" if source == "none" else ""),
            cause=f"asked for {given or repr(source)}",
            fix="set `pretrained: none` with its reason, and no `weights:`",
        )
    if given is not None and not given.is_file():
        raise WeightsError("weights file does not exist", place=str(given), fix="correct `weights:`")
    try:
        wanted = wanted_files(architecture, source, options)
    except WeightsError:
        if given is None:
            raise
        # Nobody has published any for these options, and the user's own are as good as they fit.
        return (given,)
    if given is None:
        if source != "none" and not wanted:
            raise WeightsError(
                f"{architecture.name} declares no weights file for `pretrained: {source}`",
                fix="give a file as the model's `weights:`, or set `pretrained: none` with its reason",
            )
        return tuple(_found(file, architecture) for file in wanted)
    if len(wanted) <= 1:
        return (given,)
    own = _meant(given, wanted)
    return tuple(given if file is own else _found(file, architecture, given.parent) for file in wanted)


def present(file: PublishedFile) -> Path | None:
    """Return where a file or one of its copies lies, None if it is nowhere."""
    return next((place for place in _places(file) if place.is_file()), None)


def how_to_get(file: PublishedFile, model: str) -> str:
    """Return what a reader can do to have a file that a model reads."""
    offered = [each for each in file.everywhere if each.url]
    # Files of the models that a source names are not listed, but found through the model.
    ways = [f"`bench weights get {model if ':' in model else offered[0].name}`"] if offered else []
    pages = [f"{each.name} from {each.page}" for each in file.everywhere if each.page]
    if pages:
        ways.append(f"download {', or '.join(pages)}, into the folder ${WEIGHTS_FOLDER}")
    elif offered:
        renamed = "" if offered[0].url.endswith(f"/{offered[0].name}") else f" as {offered[0].name}"
        ways.append(f"download {offered[0].url} into the folder ${WEIGHTS_FOLDER}{renamed}")
    if file.fix:
        ways.append(file.fix)
    if file.folder is None:
        if not ways:
            ways.append(f"put it into the folder ${WEIGHTS_FOLDER}")
        ways.append("give it as the model's `weights:`")
    return ", or ".join([*ways, "set `pretrained: none` with its reason"])


def _found(file: PublishedFile, architecture: Architecture, beside: Path | None = None) -> Path:
    neighbors = [] if beside is None else [beside / each.name for each in file.everywhere]
    place = next((neighbor for neighbor in neighbors if neighbor.is_file()), None) or present(file)
    if place is not None:
        return place
    looked = [str(place) for place in (*neighbors, *_places(file))]
    if file.folder is None and weights_folder() is None:
        looked.append(f"${WEIGHTS_FOLDER} (not set)")
    raise WeightsError(
        f"the weights file {' or '.join(each.name for each in file.everywhere)} is not there",
        cause=f"looked for {', '.join(looked)}",
        fix=how_to_get(file, architecture.name),
    )


def _places(file: PublishedFile) -> list[Path]:
    folder = file.folder or weights_folder()
    places = [folder / each.name for each in file.everywhere] if folder is not None else []
    return places + [each.packaged for each in file.everywhere if each.packaged is not None]


def _meant(given: Path, wanted: Sequence[PublishedFile]) -> PublishedFile:
    """Return the one of several files that the user's own stands for."""
    shared = [max(_alike(given.name, each.name) for each in file.everywhere) for file in wanted]
    best = max(shared)
    if best < _ALIKE or shared.count(best) > 1:
        names = " or ".join(file.name for file in wanted)
        raise WeightsError(
            f"the network needs {len(wanted)} weights files, and this one's name does not say which it is",
            place=str(given),
            fix=f"give {names} as `weights:`, with the other beside it",
        )
    return wanted[shared.index(best)]


def _alike(name: str, other: str) -> int:
    """Return how many letters two names begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))


def unpublished(model: str, option: str, value: object, published: Sequence[object]) -> WeightsError:
    """Return the error for an option under which nobody has published weights."""
    return WeightsError(
        f"there are no pretrained weights for {model} with {option} {value}",
        cause=f"they fit {option} {' or '.join(str(each) for each in published)} only",
        fix="take one of these, or set `pretrained: none` with its reason, and no `weights:`",
    )
