"""How a job is executed: what no identity holds and every result records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bench_core.spec.bounds import MOST_DEVICES, MOST_THREADS


@dataclass(frozen=True)
class RunOptions:
    """How a job is executed; nothing in here is part of its identity, all of it is recorded."""

    device: str = "cpu"
    """A torch device, already chosen: cpu, cuda:0, mps."""
    devices_per_job: Annotated[int, Field(ge=1, le=MOST_DEVICES)] = 1
    """What was asked for; a runner or step that cannot use several has one."""
    devices: tuple[str, ...] = ()
    """All of the job's devices, where it has several; `device` is this process's own."""
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] = 1
    loader_workers: Annotated[int, Field(ge=0, le=MOST_THREADS)] = 0
    channels_last: bool = False
    compile: bool = False
    runners: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Runner name to the options of its own that the spec gives, complete."""
    folder: Path | None = None
    """Where a runner may keep logs of its own; None: nowhere."""
