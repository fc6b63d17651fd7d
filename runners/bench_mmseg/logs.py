"""MMEngine's own logs: what a spec's `runtime.runners.mmseg` switches on; quiet by default."""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.runner import LogProcessor
from mmengine.utils import ManagerMixin
from mmengine.visualization import Visualizer

from bench_core.errors import MissingDependencyError
from bench_core.protocol.contract import RunOptions
from bench_mmseg.backends import BACKENDS

HOOKS = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
"""The hooks that MMEngine's runner registers by itself, by the names it gives them."""


@dataclass(frozen=True)
class LogSettings:
    """What MMEngine may write and where; with neither log nor backends it writes nothing at all."""

    folder: Path
    """Exists already where nothing is written."""
    log: bool = False
    visual: tuple[str, ...] = ()
    interval: int = 10
    """Steps between two lines."""

    @classmethod
    def of(cls, options: RunOptions) -> LogSettings:
        """Return a job's settings; raise MissingDependencyError for a backend that is not installed."""
        given = options.runners.get("mmseg", {})
        visual = tuple(given.get("visual", ()))
        if options.folder is None:
            return cls(Path(tempfile.gettempdir()))
        for backend in visual:
            package = BACKENDS[backend]
            if package is not None and not _installed(package):
                raise MissingDependencyError(
                    f"{backend} needs the package {package!r}, which is not installed",
                    place="runtime.runners.mmseg.visual",
                    fix=f"pip install {package}, or leave {backend} out",
                )
        settings = cls(options.folder, given.get("log", False), visual, given.get("interval", 10))
        return settings if settings.writes else cls(Path(tempfile.gettempdir()))

    @property
    def writes(self) -> bool:
        """True if anything is to be written."""
        return self.log or bool(self.visual)

    def timestamp(self) -> str:
        """Return what MMEngine names an attempt's folder; empty (no folder) where nothing is written."""
        return time.strftime("%Y%m%d_%H%M%S") if self.writes else ""

    def default_hooks(self) -> dict[str, Any]:
        """Return MMEngine's default hooks: those of the logs where there are any, and none that decides."""
        hooks: dict[str, Any] = dict.fromkeys(HOOKS)
        if self.writes:
            hooks["runtime_info"] = {"type": "RuntimeInfoHook"}
            hooks["timer"] = {"type": "IterTimerHook"}
            hooks["logger"] = {"type": "LoggerHook", "interval": self.interval}
        return hooks

    def logger(self, name: str, file: Path) -> MMLogger:
        """Return MMEngine's logger: to the file if there is a log; only warnings reach the job's own log."""
        logger: MMLogger = MMLogger.get_instance(
            name, log_file=str(file) if self.log else None, file_mode="a"
        )
        # The first handler prints to stdout, which belongs to `bench`.
        logger.handlers[0] = _Forward(logging.WARNING)
        logger.setLevel(logging.INFO if self.writes else logging.WARNING)
        return logger

    def visualizer(self, name: str, folder: Path) -> Visualizer:
        """Return the visualizer with the chosen backends."""
        if not self.visual:
            return _NoVisualizer(name)
        backends = [{"type": backend} for backend in self.visual]
        visualizer: Visualizer = Visualizer.get_instance(name, vis_backends=backends, save_dir=str(folder))
        return visualizer


class _Forward(logging.Handler):
    """Hands records to Python's own logging, from which a job's log is written."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("mmengine").handle(record)


class _NoVisualizer(Visualizer):
    """Takes everything and draws nothing: MMEngine's own opens a figure, for which it imports matplotlib."""

    def __init__(self, name: str) -> None:
        ManagerMixin.__init__(self, name)
        self._dataset_meta = None
        self._vis_backends: Mapping[str, Any] = {}


class ContractLogProcessor(LogProcessor):
    """Reads the peak memory without resetting it, since it is recorded with the job's result."""

    def _get_max_memory(self, runner: Any) -> int:
        device = runner.device
        return torch.cuda.max_memory_allocated(device) // 2**20 if device.type == "cuda" else 0


def _installed(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None
