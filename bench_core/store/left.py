"""What a finished step left, as its plugin sees it when it is asked what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench_core.plan.job import Job
from bench_core.records import Counts, Predictions
from bench_core.store import folder as files


@dataclass(frozen=True)
class Left:
    """The files of a sealed job; they are read when they are asked for."""

    job: Job
    images: tuple[str, ...]
    """Ids of the images that the job looked at, in its order."""
    folder: Path

    def records(self, name: str) -> list[dict[str, str]]:
        """Read a table; raises StoreError if it is missing or damaged."""
        return files.read_records(self.folder, name)

    def predictions(self) -> Predictions:
        """Read the label maps; raises StoreError if they are missing or damaged."""
        return files.read_predictions(self.folder)

    def counts(self) -> Counts:
        """Read the pixel counts of the label maps; raises StoreError if they are missing or damaged."""
        return files.read_counts(self.folder)

    def artifact(self, name: str) -> Path:
        """Return the path of a file that the job left; raises ValueError if it left none of this name."""
        path = self.folder / "artifacts" / name
        if "/" in name or path.is_symlink() or not path.is_file():
            raise ValueError(f"the job left no artifact {name!r}")
        return path
