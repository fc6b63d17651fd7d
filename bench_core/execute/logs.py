"""A job's log: every logging call, warning and line that a library prints, in one file with time stamps."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench_core.store.files import storing

JOB_LOGGER = "bench_core.execute.job"
"""Whose lines tell how a job went; `bench verify` reads them in every log that was ever sealed."""
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


@contextmanager
def job_log(path: Path, *, capture: bool) -> Iterator[None]:
    """Append this process's logging to `path`; with `capture` also all that goes to stdout and stderr.

    `capture` redirects the process's own file descriptors, so that compiled libraries are heard too: for
    worker processes only.
    """
    with storing(path):
        handler = _Handler(path)
    handler.setFormatter(_utc(FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO) if level else logging.INFO)
    logging.captureWarnings(True)
    try:
        with ExitStack() as stack:
            if capture:
                stack.enter_context(_captured(path))
            yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


class _Handler(logging.FileHandler):
    """Drops a line that cannot be written: a full disk is reported by what matters, not by the log."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """Ignore it."""


def _utc(text: str) -> logging.Formatter:
    formatter = logging.Formatter(text, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter


@contextmanager
def _captured(path: Path) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as file:
        saved = [os.dup(descriptor) for descriptor in (1, 2)]
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
