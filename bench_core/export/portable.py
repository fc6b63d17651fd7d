"""A spec with all that it names, to be read where it was not written: what archives and stores keep of it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from bench_core.files.bounded import open_regular
from bench_core.spec.load import LoadedSpec
from bench_core.spec.rules.labels import label_of
from bench_core.store import archive as container
from bench_core.store import archive_names
from bench_core.store.archive_manifest import Fact


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name there, and its content or where it lies."""

    name: str
    source: Path | bytes

    def open(self) -> IO[bytes]:
        """Open the content."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else open_regular(self.source)

    def fact(self) -> Fact:
        """Return size and SHA-256."""
        with self.open() as file:
            return container.copied(container.pieces_of(file), _Nowhere(), 2**62)


class _Nowhere(io.BytesIO):
    def write(self, _: Any) -> int:
        return 0


def portable(loaded: LoadedSpec) -> tuple[list[Member], bytes]:
    """Return what the spec names and brings along, and the spec as YAML that names these.

    Variables, base specs and --set are resolved. Roots become folders beside the spec, for whoever has the
    data; weights files are found by their name.
    """
    spec, base = loaded.spec, loaded.base
    data = spec.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    data["name"], members = spec.name, list[Member]()
    plugins = []
    for number, (name, contents) in enumerate(loaded.registry.contents.items()):
        path = Path(loaded.registry.plugins[name])
        members += [
            Member(f"{archive_names.PLUGINS}/{number}/{file}", path.parent / file) for file in contents
        ]
        plugins.append(f"{archive_names.PLUGINS}/{number}/{path.name}")
    if plugins:
        data["plugins"] = plugins
    for number, entry in enumerate(data["models"]):
        entry.pop("weights", None)
        file = _own_file(str(entry["name"]), loaded)
        if file is not None:
            prefix = str(entry["name"]).partition(":")[0]
            inside = f"{archive_names.MODELS}/{number}/{file.name}"
            members.append(Member(inside, file))
            entry["name"] = f"{prefix}:{inside}"
    entries = [*zip(data["datasets"], spec.datasets, strict=True)]
    entries += [
        (plain["dataset"], step.dataset)
        for plain, step in zip(data.get("steps", []), spec.steps, strict=True)
        if step.dataset is not None
    ]
    for number, (plain, dataset) in enumerate(entries):
        if plain.pop("root", None) is not None:
            plain["root"] = f"data/{label_of(dataset)}"
        if dataset.folds is not None:
            path = base / dataset.folds
            inside = f"{archive_names.FOLDS}/{number}/{path.name}"
            members.append(Member(inside, path))
            plain["folds"] = inside
    return members, yaml.safe_dump(_quoted(data), sort_keys=False, allow_unicode=True, width=100).encode()


def _own_file(name: str, loaded: LoadedSpec) -> Path | None:
    """Return the user's file that defines a model, where its name is one."""
    if ":" not in name or not loaded.registry.model(name).content:
        return None
    return loaded.base / name.partition(":")[2]


def _quoted(data: Any) -> Any:
    """Return plain data in which a dollar sign stands for itself."""
    if isinstance(data, dict):
        return {key: _quoted(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_quoted(value) for value in data]
    return data.replace("$", "$$") if isinstance(data, str) else data
