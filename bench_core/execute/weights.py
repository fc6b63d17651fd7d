"""Which weights files networks need, and which of them are there; asked of the declarations themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench_core.declarations import Architecture
from bench_core.errors import WeightsError
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins import Registry
from bench_core.weights_download import Progress, download
from bench_core.weights_files import WEIGHTS_FOLDER, PublishedFile, Wanted, noting_weights, weights_folder


@dataclass(frozen=True, kw_only=True)
class Need:
    """A weights file, and the models that read it."""

    models: tuple[str, ...]
    license: str
    """That of the first model's weights."""
    wanted: Wanted

    def only(self, name: str) -> Need:
        """Return the same need of one of the names under which the file is published."""
        folder = weights_folder()
        own = folder / name if folder is not None else None
        return replace(
            self,
            wanted=replace(
                self.wanted,
                names=(name,),
                published=tuple(each for each in self.wanted.published if each.name == name),
                file=own if own is not None and own.is_file() else None,
            ),
        )


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
    if not need.wanted.published:
        names = " or ".join(need.wanted.names)
        raise WeightsError(f"{names} has no address that it could be downloaded from", fix=need.wanted.fix)
    folder = weights_folder()
    if folder is None:
        raise WeightsError(
            "no folder for weights files is named",
            fix=f"export {WEIGHTS_FOLDER}=FOLDER, for example ~/weights",
        )
    published = need.wanted.published[0]
    with progress(published) as show:
        return download(published, folder, show)


def _needs(architecture: Architecture, source: str, options: Mapping[str, Any]) -> Iterator[Need]:
    if source == "none" or architecture.find_weights is None:
        return
    with noting_weights() as noted:
        try:
            architecture.find_weights(source, None, options)
        except WeightsError:
            # These options and this source do not go together: a run says so, and here nothing is needed.
            return
    for wanted in noted:
        yield Need(models=(architecture.name,), license=architecture.license, wanted=wanted)


def _choices(architecture: Architecture) -> Iterator[dict[str, Any]]:
    for name, option in architecture.options.items():
        for choice in option.choices if option.type is not list else ():
            yield complete_options(architecture.options, {name: choice})


def _each_once(needs: Iterable[Need]) -> list[Need]:
    found: dict[tuple[str, ...], Need] = {}
    for need in needs:
        first = found.setdefault(need.wanted.names, need)
        models = tuple(dict.fromkeys((*first.models, *need.models)))
        found[need.wanted.names] = replace(first, models=models)
    return list(found.values())
