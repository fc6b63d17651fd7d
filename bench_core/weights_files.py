"""Where weights files are looked for; what is in them is bench_core.protocol.weights' affair."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from bench_core.declarations import BuildRequest
from bench_core.errors import WeightsError
from bench_core.paths import expand

WEIGHTS_FOLDER = "SEGTRIAL_WEIGHTS"
"""Environment variable that names a folder of weights files."""


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A weights file that can be downloaded."""

    name: str
    url: str
    sha256: str = ""
    """Hexadecimal, whole or its first digits; if not given, those that the name ends in by custom."""

    @property
    def known_sha256(self) -> str:
        """What is known of the file's SHA-256, nothing perhaps."""
        named = re.search(r"-([0-9a-f]{8})\.\w+$", self.name)
        return self.sha256.lower() or (named[1] if named else "")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One request for weights: under which names, what is known of them, and the file if it is there."""

    names: tuple[str, ...]
    published: tuple[PublishedFile, ...]
    file: Path | None
    fix: str


_noted: ContextVar[list[Wanted] | None] = ContextVar("_noted", default=None)


@contextmanager
def noting_weights() -> Iterator[list[Wanted]]:
    """Yield a list to which `find_weights` adds what it is asked for; it refuses nothing meanwhile."""
    noted: list[Wanted] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def weights_folder() -> Path | None:
    """Return the folder $SEGTRIAL_WEIGHTS, which need not exist, or None."""
    folder = os.environ.get(WEIGHTS_FOLDER)
    return expand(folder, f"${WEIGHTS_FOLDER}") if folder else None


def find_weights(
    name: str | PublishedFile | Sequence[str | PublishedFile],
    given: Path | None = None,
    *,
    packaged: Path | None = None,
    fix: str = "",
) -> Path:
    """Return a weights file: the one that the user gave, else $SEGTRIAL_WEIGHTS/name, else `packaged`.

    Several names are those under which the same weights are published, the preferred one first; where one
    can be downloaded, `bench weights get` does that. Raises WeightsError saying where it was looked for;
    nothing is downloaded here.
    """
    if given is not None:
        if given.is_file():
            return given
        raise WeightsError("weights file does not exist", place=str(given), fix="correct `weights:`")
    files = [name] if isinstance(name, str | PublishedFile) else list(name)
    names = tuple(each.name if isinstance(each, PublishedFile) else each for each in files)
    published = tuple(each for each in files if isinstance(each, PublishedFile))
    folder = weights_folder()
    candidates = [folder / each for each in names] if folder else []
    candidates += [packaged] if packaged is not None else []
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    fix = _how_to_get(published, fix)
    if (noted := _noted.get()) is not None:
        noted.append(Wanted(names=names, published=published, file=found, fix=fix))
        return found or Path(names[0])
    if found is not None:
        return found
    looked = [str(candidate) for candidate in candidates]
    looked += [] if folder else [f"${WEIGHTS_FOLDER} (not set)"]
    raise WeightsError(
        f"the weights file {' or '.join(names)} is not there",
        cause=f"looked for {', '.join(looked)}",
        fix=fix,
    )


def _how_to_get(published: Sequence[PublishedFile], fix: str) -> str:
    if not published:
        return fix or (
            f"give its path as the model's `weights:`, put it into ${WEIGHTS_FOLDER}, "
            "or set `pretrained: none` with its reason"
        )
    command = f"`bench weights get {published[0].name}`"
    if fix:
        return f"{command}, or {fix}"
    return (
        f"{command}, or download {published[0].url} into the folder ${WEIGHTS_FOLDER}, "
        "or give the file as the model's `weights:`"
    )


def no_weights(model: str, request: BuildRequest) -> None:
    """Raise WeightsError if weights are asked of an architecture that has none."""
    if request.pretrained != "none" or request.weights_file is not None:
        raise WeightsError(
            f"there are no pretrained weights for {model}",
            cause=f"asked for {request.weights_file or request.pretrained!r}",
            fix="set `pretrained: none` with its reason, and no `weights:`",
        )
