"""Writes an architecture's plugin file and its test: small, but real and true to its declaration."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from string import Template

from bench_core.errors import PluginError

TEMPLATES = Path(__file__).parent / "templates"
RUNNERS = ("torch", "mmseg")
"""For which there is a template, `model_RUNNER.txt`."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40


def write_model(name: str, runner: str, folder: Path) -> tuple[Path, Path]:
    """Write the plugin file and its test into a folder and return their paths.

    Raises PluginError for a name that is none, and where a file would be overwritten; then none is written.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise PluginError(
            f"{name!r} is no name of an architecture",
            cause=f"names are up to {_LONGEST} small letters, digits and single hyphens, a letter first",
            fix="write for example my-net",
        )
    stem = name.replace("-", "_")
    if not (folder / f"{stem}.py").exists() and importlib.util.find_spec(stem) is not None:
        raise PluginError(
            f"{stem} is the name of a Python module",
            cause=f"a file {stem}.py would hide it from whatever runs in this folder",
            fix="choose another name",
        )
    words = {
        "name": name,
        "stem": stem,
        "kind": "".join(word.capitalize() for word in name.split("-")),
    }
    texts = {
        folder / f"{stem}.py": _fill(f"model_{runner}.txt", words),
        folder / f"test_{stem}.py": _fill("test_model.txt", words),
    }
    existing = [path for path in texts if path.exists()]
    if existing:
        raise PluginError(
            f"{' and '.join(str(path) for path in existing)} would be overwritten",
            fix="choose another name or --folder, or remove what is there",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    plugin, test = texts
    return plugin, test


def _fill(template: str, words: dict[str, str]) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
