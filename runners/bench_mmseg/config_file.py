"""Reads MMEngine's text configs (`_base_`, `_delete_`, `{{_base_.name}}`) without importing MMEngine.

Configs are Python files that assign plain values, so a plan can look into one where no framework is
installed. The rules are those of MMEngine's documentation, "Config", and a test compares the two.
"""

from __future__ import annotations

import ast
import copy
import functools
import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from bench_core.errors import PluginError
from bench_core.install import install_command
from bench_mmseg.own_modules import imported_names, own_files

_BASE = "_base_"
_DELETE = "_delete_"
_PLACEHOLDER = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")


@dataclass(frozen=True)
class ConfigFile:
    """A config with everything that it inherits."""

    values: Mapping[str, Any]
    content: str
    """SHA-256 of the file and of the user's files below it, modules of `custom_imports` included; what
    belongs to installed packages counts by its name."""


def read_config(path: Path) -> ConfigFile:
    """Return a config's values; raise PluginError with the file and line for one that cannot be read."""
    found = _Reader()
    values = found.read(path.resolve())
    for module in imported_names(values.get("custom_imports")):
        for file in own_files(module):
            found.digest.update(file.read_bytes() + b"\0")
    return ConfigFile(values, found.digest.hexdigest())


def read_packaged(path: Path) -> Mapping[str, Any]:
    """Return the values of a config that a package ships; its bases are read once a process."""
    return _Reader().read(path, packaged=True)


@functools.cache
def _packaged_base(path: Path) -> dict[str, Any]:
    return _Reader().read(path, packaged=True)


def package_configs(package: str) -> Path | None:
    """Return the folder of the configs that an installed package ships, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    candidates = [
        folder for place in places for folder in (place / ".mim" / "configs", place.parent / "configs")
    ]
    return next((folder for folder in candidates if folder.is_dir()), None)


class _Reader:
    def __init__(self) -> None:
        self._open: list[Path] = []
        self.digest = hashlib.sha256()

    def read(self, path: Path, packaged: bool = False) -> dict[str, Any]:
        if path in self._open:
            raise PluginError(
                f"config inherits from itself through {_BASE}",
                place=str(path),
                cause=" -> ".join(part.name for part in [*self._open, path]),
                fix=f"remove one {_BASE}",
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            place = str(self._open[-1]) if self._open else str(path)
            raise PluginError(f"config file cannot be read: {error}", place=place) from error
        if not packaged:
            self.digest.update(text.encode() + b"\0")
        tree = _parse(text, path)
        inherited: dict[str, Any] = {}
        self._open.append(path)
        for name in _bases(tree, path):
            values = self._base(name, path, packaged)
            doubled = sorted(inherited.keys() & values.keys())
            if doubled:
                raise PluginError(
                    f"two bases of this config define {', '.join(doubled)}",
                    place=str(path),
                    fix="inherit from one of them, or set the key in this file alone",
                )
            inherited.update(values)
        self._open.pop()
        return _merge(_execute(tree, path, inherited), inherited, path)

    def _base(self, name: str, path: Path, packaged: bool) -> dict[str, Any]:
        package, colons, inside = name.partition("::")
        if not colons:
            base = (path.parent / name).resolve()
            return _packaged_base(base) if packaged else self.read(base)
        self.digest.update(name.encode() + b"\0")
        folder = package_configs(package)
        if folder is None:
            raise PluginError(
                f"config inherits from {name!r}, whose package is not installed",
                place=str(path),
                fix=install_command("mmseg") if package == "mmseg" else f"install {package}",
            )
        return _packaged_base((folder / inside).resolve())


def _parse(text: str, path: Path) -> ast.Module:
    text = _PLACEHOLDER.sub(r"_base_.\1", text)
    try:
        tree = ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise PluginError(f"config is not Python: {error.msg}", place=f"{path}:{error.lineno}") from error
    for node in tree.body:
        if isinstance(node, ast.With):
            raise PluginError(
                "config of MMEngine's new style (`with read_base():`), which needs MMEngine to be read",
                place=f"{path}:{node.lineno}",
                fix="write it out as plain values: Config.fromfile(path).dump('resolved.py')",
            )
    return tree


def _bases(tree: ast.Module, path: Path) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id != _BASE:
                continue
            try:
                value = ast.literal_eval(node.value)
            except ValueError as error:
                place = f"{path}:{node.lineno}"
                raise PluginError(f"{_BASE} must be a path or a list of paths", place=place) from error
            return [value] if isinstance(value, str) else [str(name) for name in value]
    return []


class _Attributes(dict[str, Any]):
    """A dict whose keys are attributes as well, for `_base_.model.backbone` in a config."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError as error:
            raise AttributeError(name) from error
        return _Attributes(value) if isinstance(value, dict) else value


def _execute(tree: ast.Module, path: Path, inherited: dict[str, Any]) -> dict[str, Any]:
    body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == _BASE
        )
    ]
    code = compile(ast.Module(body=body, type_ignores=[]), str(path), "exec")
    names: dict[str, Any] = {"__file__": str(path)}
    if any(isinstance(node, ast.Name) and node.id == _BASE for part in body for node in ast.walk(part)):
        names[_BASE] = _Attributes(copy.deepcopy(inherited))
    try:
        exec(code, names)
    except Exception as error:
        line = error.__traceback__.tb_next.tb_lineno if _inside(error) else 1  # type: ignore[union-attr]
        raise PluginError(
            f"config cannot be read: {type(error).__name__}: {error}", place=f"{path}:{line}"
        ) from error
    return {
        name: _plain(value)
        for name, value in names.items()
        if name != _BASE and not name.startswith("__") and not isinstance(value, FunctionType | ModuleType)
    }


def _inside(error: Exception) -> bool:
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value


def _merge(own: Mapping[str, Any], inherited: Mapping[str, Any], path: Path) -> dict[str, Any]:
    # Shares what it does not change: nobody changes a config that was read.
    merged = dict(inherited)
    for key, value in own.items():
        if not isinstance(value, dict):
            merged[key] = value
            continue
        replace = value.get(_DELETE, False)
        value = {name: item for name, item in value.items() if name != _DELETE}
        if key not in merged or replace:
            merged[key] = value
        elif isinstance(merged[key], dict):
            merged[key] = _merge(value, merged[key], path)
        else:
            raise PluginError(
                f"{key} is a dict here and {type(merged[key]).__name__} in the base config",
                place=str(path),
                fix=f"add {_DELETE}=True to replace the base's",
            )
    return merged
