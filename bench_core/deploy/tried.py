"""Writes a network in every format that is asked for; what can be written is found out by trying."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench_core.declarations import Task
from bench_core.deploy.formats import FORMATS, Network
from bench_core.deploy.parity import LEAST_EQUAL, Parity, compare
from bench_core.spec.training import Scoring

LONGEST_REASON = 300


@dataclass(frozen=True)
class Tried:
    """What became of each format."""

    parities: dict[str, Parity] = field(default_factory=dict)
    """Of files that stand for the network."""
    failed: dict[str, str] = field(default_factory=dict)
    """Format to the reason in one line."""


def try_formats(
    network: Network,
    formats: Sequence[str],
    folder: Path,
    task: Task,
    scoring: Scoring,
    inside: str,
    heard: Callable[[str], None] = lambda name: None,
) -> Tried:
    """Write files, read each back and compare it with the network; one that computes other logits is removed.

    `inside` is what is said of the network in files that can hold it, `heard` gets each format's name before
    it is tried. Raises OSError where nothing can be written.
    """
    expected = torch.cat([network.run(image[None]) for image in network.images])
    tried = Tried()
    for name in formats:
        heard(name)
        kind = FORMATS[name]
        path = folder / kind.file
        try:
            kind.write(network, path, inside)
            run, by = kind.read(path, network)
            parity = compare(network, expected, run, by, task, scoring)
            if not parity.holds:
                raise ValueError(
                    f"its file gives {parity.equal_pixels:.4%} of the pixels the same label, fewer than "
                    f"{LEAST_EQUAL:.1%}"
                )
        except OSError:
            path.unlink(missing_ok=True)
            raise
        except Exception as error:  # Exporters raise almost anything at code that they cannot follow.
            left = shutil.disk_usage(folder).free
            path.unlink(missing_ok=True)
            if left < sum(tensor.nbytes for tensor in network.module.state_dict().values()):
                # What writes in C++ does not say so.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
            tried.failed[name] = _told(error)
            continue
        tried.parities[name] = parity
    return tried


def _told(error: BaseException) -> str:
    """Return the deepest reason of an error in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:LONGEST_REASON]
