"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
