"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench_core.errors import BenchError

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it has to be (error), or that may explain a difference (warning)."""

    message: str
    job: str
    """The job's readable name."""
    digest: str
    place: str
    """File, with ":line" where it has lines."""
    level: Level = "error"


def told(error: BenchError) -> str:
    """Return an error in one line, its cause included."""
    return f"{error.message}: {error.cause}" if error.cause else error.message
