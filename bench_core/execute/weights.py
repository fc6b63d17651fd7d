"""Which weights files networks need, and which of them are there; asked of the declarations themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench_core.declarations import Architecture, PublishedFile
from bench_core.errors import WeightsError
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.weights.download import download
from bench_core.weights.files import WEIGHTS_FOLDER, how_to_get, present, wanted_files, weights_folder
from bench_core.weights.transfer import Progress

UNKNOWN_LICENSE = "not known"


@dataclass(frozen=True, kw_only=True)
class Need:
    """A weights file, and the models that read it."""

    models: tuple[str, ...]
    license: str
    """That of the file, else that of the first model's weights, else UNKNOWN_LICENSE."""
    file: PublishedFile

    @property
    def names(self) -> tuple[str, ...]:
        """Under which the file is looked for, the preferred one first."""
        return tuple(each.name for each in self.file.everywhere)

    @property
    def place(self) -> Path | None:
        """Where it lies, None if it is missing."""
        return present(self.file)

    @property
    def fix(self) -> str:
        """What a reader can do to have it."""
        return how_to_get(self.file, self.models[0])

    def of_name(self, name: str) -> PublishedFile | None:
        """Return the file or its copy of this name, None if there is none."""
        return next((each for each in self.file.everywhere if each.name == name), None)

    def only(self, name: str) -> Need:
        """Return the same need of the one copy of this name."""
        own = next(each for each in self.file.everywhere if each.name == name)
        return replace(self, file=replace(own, copies=(), packaged=None))


def needs_of_jobs(jobs: Iterable[Job], registry: Registry) -> list[Need]:
    """Return what the jobs' networks read, each file once, without those that a spec gives itself."""
    found: list[Need] = []
    for job in jobs:
        model = job.model
        if model.weights is None:
            architecture = registry.model(model.name)
            found += _needs(architecture, model.pretrained, model.options)
    return _each_once(found)


def needs_of_model(architecture: Architecture) -> list[Need]:
    """Return what an architecture reads from each of its sources under its default options."""
    options = complete_options(architecture.options, {})
    return _each_once(
        need for source in architecture.pretrained for need in _needs(architecture, source, options)
    )


def all_needs(registry: Registry) -> list[Need]:
    """Return what every declared architecture reads, under its defaults and each choice of its options."""
    found: list[Need] = []
    for architecture in registry.models.values():
        found += needs_of_model(architecture)
        for changed in _choices(architecture):
            for source in architecture.pretrained:
                found += _needs(architecture, source, changed)
    return _each_once(found)


def fetch(
    need: Need, progress: Callable[[PublishedFile], AbstractContextManager[Progress]]
) -> tuple[Path, str]:
    """Download a file that is not there, from the first of its publishers that can be reached by a program.

    `progress` shows how a file is coming. Returns path and SHA-256. Raises WeightsError where no folder is
    named, or nobody offers an address.
    """
    offered = [each for each in need.file.everywhere if each.url]
    if not offered:
        raise WeightsError(
            f"{' or '.join(need.names)} has no address that it could be downloaded from", fix=need.fix
        )
    folder = weights_folder()
    if folder is None:
        raise WeightsError(
            "no folder for weights files is named",
            fix=f"export {WEIGHTS_FOLDER}=FOLDER, for example ~/weights",
        )
    with progress(offered[0]) as show:
        return download(offered[0], folder, show)


def _needs(architecture: Architecture, source: str, options: Mapping[str, Any]) -> Iterator[Need]:
    try:
        wanted = wanted_files(architecture, source, options)
    except WeightsError:
        # These options and this source do not go together: a run says so, and here nothing is needed.
        return
    for file in wanted:
        license = file.license or architecture.license or UNKNOWN_LICENSE
        yield Need(models=(architecture.name,), license=license, file=file)


def _choices(architecture: Architecture) -> Iterator[dict[str, Any]]:
    for name, option in architecture.options.items():
        for choice in option.choices if option.type is not list else ():
            yield complete_options(architecture.options, {name: choice})


def _each_once(needs: Iterable[Need]) -> list[Need]:
    found: dict[tuple[object, ...], Need] = {}
    for need in needs:
        key = (need.file.folder, *need.names)
        first = found.setdefault(key, need)
        models = tuple(dict.fromkeys((*first.models, *need.models)))
        found[key] = replace(first, models=models)
    return list(found.values())
