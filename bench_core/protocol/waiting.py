"""Measures for how long training waits for its images."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import torch

from bench_core.data.loader import Batch
from bench_core.protocol.waited import MUCH, advice, share_waited
from bench_core.records import EpochRecord

log = logging.getLogger(__name__)


class Waiting:
    """Watches an epoch's batches and adds up for how long the device had nothing to do before each.

    On a CUDA device two events around each batch tell when its work had ended and when it went on: the host
    runs ahead, so its own waiting says little. Elsewhere the host's time counts.
    """

    def __init__(self, device: torch.device, workers: int) -> None:
        self._device = device
        self._workers = workers
        self._host = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._watched: list[EpochRecord] = []
        self._told = False

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        self._host, self._events = 0.0, []
        while True:
            idle = self._event()
            start = time.perf_counter()
            batch = next(batches, None)
            self._host += time.perf_counter() - start
            if batch is None:
                return
            busy = self._event()
            if idle is not None and busy is not None:
                self._events.append((idle, busy))
            yield batch

    def seconds(self) -> float:
        """Return the epoch's sum; the device must have come to the end of its work."""
        if self._device.type != "cuda":
            return self._host
        device: float = sum(idle.elapsed_time(busy) for idle, busy in self._events) / 1000
        return min(self._host, device)

    def warn(self, record: EpochRecord, planned: int) -> None:
        """Say once in the log if training waits much.

        The first of several epochs is left out, since it starts the loader. Where a job on a CPU makes its
        images itself, nothing waits.
        """
        self._watched.append(record)
        share = share_waited(self._watched[1:] if planned > 1 else self._watched)
        more = advice(self._workers, self._device.type)
        if share is not None and share > MUCH and more and not self._told:
            self._told = True
            log.warning("training waits for images %.0f%% of its time; %s", 100 * share, more)

    def _event(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event
