"""Writes a plugin file and its test from the templates of its kind: small, but real."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from string import Template

from bench_core.errors import PluginError

TEMPLATES = Path(__file__).parent / "templates"
RUNNERS = ("torch", "mmseg")
"""What a model can be built with; each has a template, `model_RUNNER.txt`."""
KINDS = ("model", "dataset", "step", "metric", "runner", "executor", "analysis")
"""Each kind has a template for its test, `test_KIND.txt`; each but `model` one for its plugin, `KIND.txt`."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40


def write_plugin(kind: str, name: str, folder: Path, runner: str = "torch") -> tuple[Path, Path]:
    """Write the plugin file and its test into a folder and return their paths.

    `runner` is what a model is built with. Raises PluginError for a name that is not plain, and where a file
    would be overwritten; then nothing is written.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise PluginError(
            f"{name!r} cannot be the name of a {kind}",
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
    texts = {
        folder / f"{stem}.py": plugin_text(kind, name, runner),
        folder / f"test_{stem}.py": _fill(f"test_{kind}.txt", name),
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


def plugin_text(kind: str, name: str, runner: str = "torch") -> str:
    """Return the text of a plugin file; `runner` is what a model is built with."""
    return _fill(f"model_{runner}.txt" if kind == "model" else f"{kind}.txt", name)


def _fill(template: str, name: str) -> str:
    words = {
        "name": name,
        "stem": name.replace("-", "_"),
        "kind": "".join(word.capitalize() for word in name.split("-")),
    }
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
