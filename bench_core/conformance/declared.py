"""What every kind of declaration owes: words that are filled in, options that work, and nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from bench_core.conformance.elsewhere import ask
from bench_core.conformance.properties import Wrong, some
from bench_core.options import Option, complete_options
from bench_core.plugins.registry import Registry

FRAMEWORKS = ("torch", "torchvision", "tensorflow", "jax", "mmengine", "mmcv", "mmseg", "monai", "timm",
              "transformers")  # fmt: skip
"""What takes seconds to import, or is not installed where plans are made."""


@dataclass(frozen=True)
class Origin:
    """Where a declaration comes from, so that another process can load it anew."""

    hook: str
    name: str
    plugin: str
    file: Path | None
    """None for an installed package."""
    files: tuple[Path, ...] = ()
    """All plugin files that were loaded with it."""


class Declared(Protocol):
    """A subject whose declaration has options."""

    @property
    def origin(self) -> Origin | None:
        """Where it comes from; None for one that no plugin declares."""

    @property
    def options_declared(self) -> Mapping[str, Option]:
        """Its options."""

    @property
    def words(self) -> Mapping[str, str]:
        """Fields that people read, by name."""


def origin_of(registry: Registry, hook: str, name: str) -> Origin | None:
    """Return where a declared name comes from; None if no loaded plugin declares it."""
    plugin = registry.owners.get(hook, {}).get(name)
    if plugin is None:
        return None
    files = {each: Path(registry.plugins[each]).resolve() for each in registry.contents}
    return Origin(hook, name, plugin, files.get(plugin), tuple(files.values()))


def complete_declaration(subject: Declared) -> None:
    """Every field that people read is filled in, every option is explained, and its default is valid."""
    empty = [name for name, text in subject.words.items() if not text.strip()]
    if empty:
        raise Wrong(f"it declares no {some(empty)}")
    for name, option in subject.options_declared.items():
        if not option.help.strip():
            raise Wrong(f"option {name!r} has no help")
    try:
        defaults = complete_options(subject.options_declared, {})
        given = {name: value for name, value in defaults.items() if value is not None}
        again = complete_options(subject.options_declared, given)
    except ValueError as error:
        raise Wrong(f"a default is not valid: {error}") from error
    if again != defaults:
        changed = [name for name in defaults if again[name] != defaults[name]]
        raise Wrong(f"option {changed[0]!r} given at its default is another value: {again[changed[0]]!r}")


def light_to_load(subject: Declared) -> None:
    """Loading the plugin imports no framework, opens no file that is not code, and connects to nothing."""
    origin = subject.origin
    if origin is None:
        return
    told = _loaded(
        replace(origin, name="", files=()), 0 if origin.file is None else origin.file.stat().st_mtime_ns
    )
    if told["frameworks"]:
        raise Wrong(
            f"loading it imports {some(told['frameworks'])}",
            fix="import it inside the function that needs it, or name that function as 'package.module:name'",
        )
    if told["opened"]:
        raise Wrong(
            f"loading it opens {told['opened'][0]}",
            place=told["opened"][0],
            fix="open files when the function is called, not when the plugin is loaded",
        )
    if told["connected"]:
        raise Wrong(f"loading it connects to {told['connected'][0]}", fix="declare without a network")


@cache
def _loaded(origin: Origin, changed: int) -> dict[str, Any]:
    """Return what loading a plugin does; asked once for all that one file declares."""
    return ask("declare", origin, frameworks=FRAMEWORKS)


def each_choice(declared: Mapping[str, Option], names: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """Return the options at their defaults, then each single choice and each end of a range.

    `names` are what options that name declared things may say.
    """
    found: list[dict[str, Any]] = [{}]
    for name, option in declared.items():
        values: list[Any] = [option.minimum, option.maximum] if option.type in (int, float) else []
        values = [option.type(value) for value in values if value is not None]
        values += [True, False] if option.type is bool else []
        values += list(option.choices) if option.type is not list else [[each] for each in option.choices]
        if option.names:
            values += [each if option.type is str else [each] for each in names.get(option.names, ())]
        found += [{name: value} for value in values if value != option.default]
    return found
