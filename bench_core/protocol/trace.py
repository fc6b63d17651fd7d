"""The trace of a job: what was trained on, at which rate, with which loss, step by step."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench_core.errors import StoreError
from bench_core.processes.unbroken import unbroken


@dataclass(frozen=True)
class TraceStep:
    """One optimizer step; `loss` is the mean over the batch."""

    epoch: int
    step: int
    ids: tuple[str, ...]
    lr: float
    loss: float


class Trace:
    """A file with one JSON line a step and, after an epoch's steps, one with its metrics.

    Numbers are written in full (the shortest text that reads back as the same double; null where not finite),
    and nothing that differs between two equal runs is in it: equal files mean equal protocols. Without a path
    nothing is written.
    Raises StoreError when the file cannot be written or doesn't hold what a resumed job needs.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def resume(self, epochs: int) -> None:
        """Keep the first `epochs` epochs and cut what an interrupted job wrote after them."""
        if self.path is None:
            return
        with unbroken(), _storing(self.path):
            kept = list(self._lines(epochs))
            finished = sum("step" not in json.loads(line) for line in kept)
            if finished != epochs:
                raise StoreError(
                    f"the trace holds {finished} of the {epochs} epochs that the saved state has trained",
                    place=str(self.path),
                    cause="the file was changed or removed while the job was interrupted",
                    fix="remove the job's folder to train it again from its first epoch",
                )
            scratch = self.path.with_name(self.path.name + ".tmp")
            _write(scratch, kept, "w")
            scratch.replace(self.path)

    def write(
        self, epoch: int, steps: Sequence[TraceStep], loss: float, metrics: Mapping[str, float] | None
    ) -> None:
        """Append an epoch's steps and, unless training broke off in it (no metrics), its own line."""
        if self.path is None:
            return
        lines = [_dump(asdict(step) | {"loss": _number(step.loss)}) for step in steps]
        if metrics is not None:
            validation = {name: _number(value) for name, value in metrics.items()}
            lines.append(_dump({"epoch": epoch, "loss": _number(loss), "validation": validation}))
        with unbroken(), _storing(self.path):
            _write(self.path, lines, "a")

    def _lines(self, epochs: int) -> Iterator[str]:
        """Yield whole lines of the first `epochs` epochs, up to the first that is cut off or garbled."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    known = int(json.loads(line)["epoch"]) < epochs
                except (ValueError, KeyError, TypeError):
                    return
                if not known or not line.endswith("\n"):
                    return
                yield line.rstrip("\n")


def _dump(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(path: Path, lines: Sequence[str], mode: str) -> None:
    with path.open(mode, encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        # The state that is saved after this must never know more epochs than the trace.
        os.fsync(file.fileno())


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            "the job's trace cannot be written",
            place=str(path),
            cause=error.strerror or str(error),
            fix="free disk space or make the folder writable, then run the same command again",
        ) from error
