"""The data of jobs, opened once for each fold of a dataset."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.errors import MissingDependencyError
from bench_core.install import install_modules
from bench_core.plan.job import fold_seed

if TYPE_CHECKING:
    from bench_core.execute.prepare import JobData


def opened(subject: Subject, audit: Audit, cache: Path) -> JobData:
    """Return a job's data through this cache.

    Raises what `open_data` raises, and MissingDependencyError where no framework is installed.
    """
    try:
        from bench_core.execute.prepare import open_data
    except ModuleNotFoundError as error:
        # The framework's extra brings what reads images, too, so that one command is enough.
        missing = error.name if error.name and find_spec("torch") else "torch"
        raise MissingDependencyError(
            f"counting jobs again needs the package {missing!r}, which is not installed",
            fix=install_modules([missing]),
        ) from error

    job = subject.job
    plain = job.to_json()
    # What `open_data` looks at: jobs of several models share it.
    key = json.dumps(
        [plain[part] for part in ("dataset", "pixels", "fold")] + [fold_seed(job)], sort_keys=True
    )
    return audit.once(("data", str(cache), key), lambda: open_data(job, audit.registry, cache))
