"""MMEngine keeps loggers, message hubs and scopes for the whole process: a job takes its own with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer


@contextmanager
def isolated() -> Iterator[None]:
    """Forget afterwards every global instance that was made inside, and close their log files."""
    managers = (MMLogger, MessageHub, Visualizer, DefaultScope)
    before = [set(manager._instance_dict) for manager in managers]
    try:
        yield
    finally:
        for manager, names in zip(managers, before, strict=True):
            for name in set(manager._instance_dict) - names:
                instance = manager._instance_dict.pop(name)
                for handler in getattr(instance, "handlers", ()):
                    handler.close()
