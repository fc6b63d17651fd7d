"""`bench logs`: the log of a job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import STORE, say

if TYPE_CHECKING:
    from bench_core.store.store import Store

POLL_SECONDS = 0.3


@click.command()
@click.argument("job")
@STORE
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the job has ended.")
def command(job: str, store: Path, follow: bool) -> None:
    """Print the log of JOB, a digest's first digits or a name such as evaluate/u-net/mni152/fold-0."""
    from bench_core.errors import StoreError
    from bench_core.store.find import find_jobs
    from bench_core.store.store import Store

    opened = Store(store)
    digest, *others = find_jobs(opened, job)
    if others:
        listed = ", ".join(other[:12] for other in others)
        say(f"the latest of {len(others) + 1} jobs of this name; the others: {listed}", err=True)
    path = opened.log_path(digest)
    if path is None:
        raise StoreError(
            "the job has no log yet", place=f"job {digest}", fix="see `bench show` for its state"
        )
    if follow:
        _follow(opened, digest)
    else:
        say(_lines(path.read_bytes()), nl=False)


def _follow(store: Store, digest: str) -> None:
    """Print what is added; the file moves when the job ends, its content stays."""
    position = 0
    while True:
        running = store.state(digest) == "running"
        path = store.log_path(digest)
        if path is not None:
            try:
                with path.open("rb") as file:
                    file.seek(position)
                    content = file.read()
            except FileNotFoundError:
                continue  # Sealed in this very moment: it is found in its new place.
            position += len(content)
            say(_lines(content), nl=False)
        if not running:
            return
        time.sleep(POLL_SECONDS)


def _lines(content: bytes) -> str:
    """Return a log's text; a progress bar that draws over itself becomes one line after the other."""
    return content.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
