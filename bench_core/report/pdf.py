"""The page as PDF, printed by the Chromium or Chrome that the machine has."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from bench_core.errors import MissingDependencyError, StoreError

VARIABLE = "SEGTRIAL_CHROMIUM"
"""Environment variable with the program, where it is not on the path."""
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
PATIENCE = 300.0
"""Seconds after which the program is ended: a page with pictures takes some ten."""


def find_browser() -> str:
    """Return the program that prints; MissingDependencyError where there is none."""
    named = os.environ.get(VARIABLE)
    found = (shutil.which(name) for name in ((named,) if named else (*_PROGRAMS, *_PLACES)))
    program = next(filter(None, found), None)
    if program is None:
        raise MissingDependencyError(
            f"{VARIABLE} names no program: {named}" if named else "report.pdf needs Chromium or Chrome",
            cause="the page is printed by a browser, and none is installed" if not named else None,
            fix=f"install Chromium, or set {VARIABLE} to the program, or print report.html in any browser",
        )
    return program


def print_page(page: Path, target: Path, browser: str, patience: float = PATIENCE) -> None:
    """Print an HTML file into a PDF file, without access to any network; StoreError where it fails.

    Equal pages give equal prints but for the time that Chromium writes into a PDF.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--no-pdf-header-footer",
            f"--user-data-dir={profile}",
            f"--print-to-pdf={partial.resolve()}",
            page.resolve().as_uri(),
        ]
        # Chromium does not start as root with its sandbox, and the page is our own and runs offline.
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")
        said = _run(command, patience)
    try:
        if not partial.is_file() or not partial.stat().st_size:
            raise StoreError(
                "the page could not be printed",
                place=str(page),
                cause=f"{browser}: {said}" if said else f"{browser} wrote no file",
                fix="print report.html in any browser, or leave --pdf out",
            )
        partial.replace(target)
    except OSError as error:
        raise StoreError("cannot write the PDF", place=str(target), cause=str(error.strerror)) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _run(command: list[str], patience: float) -> str:
    """Run the program with all that it starts, end them when it takes too long, and return its last words."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return error.strerror or str(error)
    try:
        _, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        _end(process)
        process.communicate()
        return f"it was ended after {patience:g} seconds"
    except BaseException:
        _end(process)
        raise
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines and process.returncode else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
