"""What is compared and where, checked before anything is trained; imports no framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_core.conformance.job import Subject, is_exact, make_job
from bench_core.errors import MissingDependencyError
from bench_core.execute.preflight import model_problems, runner_problems
from bench_core.plugins.registry import Registry


@dataclass(frozen=True)
class Settings:
    """What is compared, and where it is computed."""

    runners: tuple[str, str]
    subjects: Sequence[Subject]
    plugins: tuple[Path, ...] = ()
    threads: int = 1
    device: str = "cpu"

    @property
    def exact(self) -> bool:
        """True where everything must be equal bit for bit."""
        return is_exact(self.threads, self.device)


def check(settings: Settings, registry: Registry) -> None:
    """Raise, naming all at once, what keeps a runner or a network from being tried here.

    UnknownNameError for a name, MissingDependencyError for what is not installed or not built yet.
    """
    problems = [problem for name in settings.runners for problem in runner_problems(registry.runner(name))]
    for subject in settings.subjects:
        declared = registry.model(subject.name)
        problems += model_problems(make_job(declared, subject, settings.runners[0]), declared)
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in dict.fromkeys(problems))
        raise MissingDependencyError(f"the runners cannot be compared here:{lines}", fix="see `bench doctor`")
