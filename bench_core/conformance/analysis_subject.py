"""A part of the report under test, and the studies that it is asked about."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.conformance.declared import Origin, origin_of
from bench_core.conformance.ground import Study, Wanted, content, write_study
from bench_core.conformance.properties import place_of
from bench_core.conformance.world import HOSTILE, NETWORK, RULE, with_world
from bench_core.declarations import Analysis
from bench_core.errors import UnknownNameError
from bench_core.options import Option, complete_options
from bench_core.plugins.registry import Registry
from bench_core.report.compose import Report, compose
from bench_core.report.write import write_report
from bench_core.spec.model import AnalysisEntry

STUDIES: Mapping[str, Mapping[str, Any]] = {
    "whole": {"datasets": 2},
    "hostile": {"kind": "hostile", "description": f"*{HOSTILE}*"},
    "one model": {"models": 1},
    "a missing cell": {
        "datasets": 2,
        "exclude": [{"model": NETWORK, "dataset": "second", "because": "it is left out"}],
    },
    "a missing fold": {"datasets": 2, "missing": 1},
    "nothing": {"missing": 99},
}
"""By what is odd of them."""


@dataclass(frozen=True)
class AnalysisSubject:
    """A part of the report with options."""

    declared: Analysis
    registry: Registry
    options: Mapping[str, Any] = field(default_factory=dict)
    """As they are given."""
    origin: Origin | None = None

    @property
    def place(self) -> str:
        """Where its function is written."""
        return place_of(self.declared.section)

    @property
    def options_declared(self) -> Mapping[str, Option]:
        """Its options."""
        return self.declared.options

    @property
    def words(self) -> Mapping[str, str]:
        """What people read of it."""
        return {"help": self.declared.help}

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="bench-test-")

    @cached_property
    def _studies(self) -> dict[str, Study]:
        return {}

    def study(self, name: str) -> Study:
        """Return one of STUDIES, run when first asked for."""
        if name not in self._studies:
            self._studies[name] = made(self.registry, name, Path(self._folder.name))
        return self._studies[name]

    def report(self, name: str, options: Mapping[str, Any] | None = None) -> Report:
        """Return a report of this part alone, made in an empty working folder."""
        return self.of(self.study(name).evidence(), options)

    def of(self, evidence: Evidence, options: Mapping[str, Any] | None = None) -> Report:
        """Return a report of this part alone."""
        chosen = {**self.options, **(options or {})}
        entry = AnalysisEntry(name=self.declared.name, options=chosen)
        spec = evidence.spec.model_copy(update={"analyses": [entry]})
        working = Path(self._folder.name) / "working"
        working.mkdir(exist_ok=True)
        with chdir(working):
            return compose(replace(evidence, spec=spec), self.registry)

    def written(self, report: Report) -> dict[str, str]:
        """Write a report in every format and return its files by their paths."""
        with tempfile.TemporaryDirectory() as folder:
            write_report(report, Path(folder))
            root = Path(folder)
            return {name: (root / name).read_text(encoding="utf-8") for name in content(root)}

    @property
    def working(self) -> Path:
        """The folder that it works in."""
        return Path(self._folder.name) / "working"


def made(registry: Registry, name: str, folder: Path) -> Study:
    """Return one of STUDIES in a folder, as far as it is meant to be finished."""
    facts = dict(STUDIES[name])
    missing, models = facts.pop("missing", 0), facts.pop("models", 2)
    entries: list[dict[str, Any]] = [{"name": each} for each in (RULE, NETWORK)[:models]]
    steps = (
        [{"name": "measure", "options": {"metrics": ["nsd", "hd95"]}}] if "measure" in registry.steps else []
    )
    wanted = Wanted(entries, steps=steps, **facts)
    study = write_study(wanted, registry, folder / name.replace(" ", "-"))
    jobs = study.plan.jobs
    tested = [job.digest for job in jobs if job.stage == "evaluate"]
    left_out = set(tested[len(tested) - missing :] if missing < len(tested) else tested)
    left_out |= {job.digest for job in jobs if any(need.digest in left_out for need in job.needs)}
    study.run(job for job in jobs if job.digest not in left_out)
    return study


def subject_of(registry: Registry, name: str, given: Mapping[str, Any]) -> AnalysisSubject:
    """Return a part of the report to test; raise UnknownNameError for a name or options that do not exist."""
    declared = registry.analysis(name)
    try:
        complete_options(declared.options, given)
    except ValueError as error:
        raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
    return AnalysisSubject(
        declared, with_world(registry), dict(given), origin_of(registry, "bench_analyses", name)
    )
