"""What a terminal gets: nothing in a name acts on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bench_core.text import visible


class SafeConsole(Console):
    """A console whose texts are made visible before they are printed; its own colors and moves are kept."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, as other ways of printing do; rich would end the program with code 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
