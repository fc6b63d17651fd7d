"""A clock for what a process sees of owners of other machines, in place of waiting for their lease."""

from __future__ import annotations

import pytest

from bench_core.store import sightings


class Watch:
    """The clock of this process's sightings, set by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.seen = sightings.Sightings(lambda: self.now)
        patch.setattr(sightings, "ours", lambda: self.seen)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
