"""What the installed timm says of its backbones and their weights, read from its files without importing it.

Each of its modules lists pretrained configurations as `"name.tag": _cfg(...)`, with a function that holds the
module's defaults (timm/models/_registry.py, _pretrained.py). Only constants are read; what is computed is
treated as not said.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from bench_core import PublishedFile
from bench_sources.names import package_folder

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+\*?)?")
_HUB = "https://huggingface.co"
_UNSAID = ("", "unknown")
_KEYS = frozenset(("url", "hf_hub_id", "input_size"))
"""A dictionary that has none of these is not a configuration."""
_READABLE = (".safetensors", ".pth", ".pt", ".bin")
_PART = re.compile(r"-of-\d+")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Pretrained:
    """A backbone under one set of weights."""

    name: str
    """With its tag: "resnet18.a1_in1k"."""
    license: str
    """As their publisher says, "" where timm does not know."""
    url: str
    """Where a program can download the weights, "" where there are none that it could read."""
    side: int
    """Pixels of the square images that they were trained on."""
    is_fixed: bool
    """Whether the network takes that size only, unless it is built for another."""


@functools.cache
def backbones() -> Mapping[str, Path]:
    """Return the names that the installed timm registers, and the file of each; empty without timm."""
    folder = package_folder("timm")
    files = sorted((folder / "models").glob("*.py")) if folder else []
    found = [(name, file) for file in files for name in _REGISTERED.findall(file.read_text("utf-8"))]
    return dict(sorted(found))


def pretrained(backbone: str) -> Pretrained | None:
    """Return what timm says of a backbone, with or without a tag; None where it says nothing.

    Without a tag it is timm's choice: the first of a name's configurations that has weights, or the one that
    is marked by a star or has no tag itself.
    """
    name, _, tag = backbone.partition(".")
    file = backbones().get(name)
    if file is None:
        return None
    known = _configurations(file).get(name, {})
    if not tag:
        tag = _usual(known)
    values = known.get(tag) or known.get(f"{tag}*")
    if values is None:
        return None
    return _described(f"{name}.{tag.rstrip('*')}" if tag else name, values)


def published(backbone: str, names: Sequence[str]) -> PublishedFile:
    """Return the file of a backbone's weights, looked for under these names and the one that timm gives it.

    Without a tag it is that of timm's choice.
    """
    found = pretrained(backbone)
    license = found.license if found else ""
    files = {name: PublishedFile(name=name, license=license) for name in names}
    if found and found.url:
        name = f"{found.name}{PurePosixPath(found.url).suffix}"
        files[name] = PublishedFile(name=name, url=found.url, license=license)
    first, *others = files.values()
    return replace(first, copies=tuple(others))


def _usual(known: Mapping[str, Values]) -> str:
    """Return the tag that timm takes where none is given: as `generate_default_cfgs` orders them."""
    first, is_pretrained, is_marked = "", False, False
    for number, (tag, values) in enumerate(known.items()):
        weighty = _has_weights(values)
        marked = (weighty and not tag) or (tag.endswith("*") and not is_marked)
        if number == 0 or marked or (weighty and not is_pretrained):
            first = tag
        is_pretrained, is_marked = is_pretrained or weighty, is_marked or marked
    return first


def _has_weights(values: Values) -> bool:
    return bool(values.get("url") or values.get("hf_hub_id") or values.get("file"))


def _described(name: str, values: Values) -> Pretrained:
    license, hub, url = (str(values.get(key) or "") for key in ("license", "hf_hub_id", "url"))
    file = str(values.get("hf_hub_filename") or "model.safetensors")
    if hub:
        repository = f"{hub}{name}" if hub.endswith("/") else hub
        url = f"{_HUB}/{repository}/resolve/main/{file}"
    size = values.get("input_size")
    side = size[-1] if isinstance(size, tuple) and size and isinstance(size[-1], int) else 224
    return Pretrained(
        name=name,
        license="" if license in _UNSAID else license,
        url=url if url.startswith("https://") and url.endswith(_READABLE) and not _PART.search(url) else "",
        side=side,
        is_fixed=bool(values.get("fixed_input_size")),
    )


@functools.cache
def _configurations(file: Path) -> Mapping[str, Mapping[str, Values]]:
    """Return a module's configurations by name and tag, in its order."""
    tree = ast.parse(file.read_text("utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found: dict[str, dict[str, Values]] = {}
    for table in ast.walk(tree):
        if not isinstance(table, ast.Dict):
            continue
        for key, node in zip(table.keys, table.values, strict=True):
            name = key.value if isinstance(key, ast.Constant) else None
            values = _values(node, functions)
            if isinstance(name, str) and _NAME.fullmatch(name) and values and _KEYS & values.keys():
                arch, _, tag = name.partition(".")
                found.setdefault(arch, {})[tag] = values
    return found


def _values(node: ast.expr, functions: Mapping[str, ast.FunctionDef]) -> dict[str, Any]:
    """Return the constants of a configuration: a dictionary, a call of `dict` or of a module's function."""
    if isinstance(node, ast.Dict):
        values: dict[str, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                values |= _values(value, functions)
            elif isinstance(key, ast.Constant):
                values[str(key.value)] = _constant(value)
        return values
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return {}
    values = {}
    function = functions.get(node.func.id)
    if function is not None:
        values = _returned(function, functions)
    elif node.func.id != "dict":
        return {}
    elif node.args:
        values = _values(node.args[0], functions)
    if function is not None and node.args:
        # The first positional argument of these functions is the address.
        values["url"] = _constant(node.args[0])
    for keyword in node.keywords:
        given = _values(keyword.value, functions) if keyword.arg is None else {}
        values |= given if keyword.arg is None else {keyword.arg: _constant(keyword.value)}
    return values


def _returned(function: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef]) -> dict[str, Any]:
    """Return the constants of what a function returns, which may be another function's."""
    others = {name: other for name, other in functions.items() if name != function.name}
    for node in function.body:
        if isinstance(node, ast.Return) and node.value is not None:
            return _values(node.value, others)
    return {}


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
