"""A bar for what takes long on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench_core.cli.common import console

SOON = 1.0
"""Seconds after which a progress bar appears."""


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what hears of the jobs that were looked at; a bar appears on a terminal when it takes long."""
    from rich.progress import Progress

    screen = console(stderr=True)
    bar = Progress(console=screen, transient=True)
    task = bar.add_task(what, total=None)
    started = time.monotonic()
    shown = False

    def hear(done: int, total: int) -> None:
        nonlocal shown
        if not shown and screen.is_terminal and time.monotonic() - started > SOON:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)

    try:
        yield hear
    finally:
        bar.stop()
