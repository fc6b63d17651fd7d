"""Where weights files are looked for; what is in them is bench_core.protocol.weights' affair."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench_core.declarations import BuildRequest
from bench_core.errors import WeightsError

WEIGHTS_FOLDER = "SEGBENCH_WEIGHTS"
"""Environment variable that names a folder of weights files."""


def find_weights(
    name: str | Sequence[str], given: Path | None = None, *, packaged: Path | None = None, fix: str = ""
) -> Path:
    """Return a weights file: the one that the user gave, else $SEGBENCH_WEIGHTS/name, else `packaged`.

    Several names are those under which the same weights are published, the preferred one first.
    Raises WeightsError saying where it was looked for; nothing is ever downloaded.
    """
    if given is not None:
        if given.is_file():
            return given
        raise WeightsError("weights file does not exist", place=str(given), fix="correct `weights:`")
    folder = os.environ.get(WEIGHTS_FOLDER)
    names = [name] if isinstance(name, str) else list(name)
    candidates = [Path(folder).expanduser() / each for each in names] if folder else []
    candidates += [packaged] if packaged is not None else []
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = [str(candidate) for candidate in candidates]
    looked += [] if folder else [f"${WEIGHTS_FOLDER} (not set)"]
    raise WeightsError(
        f"the weights file {' or '.join(names)} is not there",
        cause=f"looked for {', '.join(looked)}",
        fix=fix
        or f"give its path as the model's `weights:`, put it into ${WEIGHTS_FOLDER}, "
        "or set `pretrained: none` with its reason",
    )


def no_weights(model: str, request: BuildRequest) -> None:
    """Raise WeightsError if weights are asked of an architecture that has none."""
    if request.pretrained != "none" or request.weights_file is not None:
        raise WeightsError(
            f"there are no pretrained weights for {model}",
            cause=f"asked for {request.weights_file or request.pretrained!r}",
            fix="set `pretrained: none` with its reason, and no `weights:`",
        )
