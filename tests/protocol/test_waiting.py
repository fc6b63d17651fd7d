"""How much of its time training waits for images: measured, kept with the result, said where it is much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench_core.data.loader import Batch
from bench_core.protocol import waiting
from bench_core.protocol.waited import advice, share_waited
from bench_core.protocol.waiting import Waiting
from bench_core.records import EpochRecord

CPU = torch.device("cpu")


class Clock:
    """Time that passes only where a test lets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(waiting, "time", found)
    return found


def record(epoch: int, seconds: float, waited: float | None) -> EpochRecord:
    return EpochRecord(epoch, 0.1, 1.0, {}, seconds, 0.0, waited)


def slow(clock: Clock, delays: list[float]) -> Iterator[Batch]:
    for number, delay in enumerate(delays):
        clock.now += delay
        yield Batch((str(number),), torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))


def test_only_the_time_before_batches_counts_and_each_epoch_by_itself(clock: Clock) -> None:
    meter = Waiting(CPU, workers=2)
    for delays in ([1.0, 0.5, 2.0], [0.25]):
        for _ in meter.watch(slow(clock, delays)):
            clock.now += 100.0
        assert meter.seconds() == sum(delays)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1) | st.none()), max_size=8))
def test_a_share_is_one_of_the_time_that_was_measured(epochs: list[tuple[float, float | None]]) -> None:
    history = [
        record(number, seconds, None if share is None else share * seconds)
        for number, (seconds, share) in enumerate(epochs)
    ]
    found = share_waited(history)
    measured = sum(seconds for seconds, share in epochs if share is not None)
    assert (found is None) == (measured == 0)
    assert found is None or 0 <= found <= 1


@pytest.mark.parametrize(
    ("workers", "device", "waits", "said"),
    [
        (2, "cpu", [9, 4, 4], 1),
        (2, "cpu", [9, 3, 3], 0),
        (0, "cpu", [9, 9, 9], 0),
        (0, "cuda", [0, 9, 9], 1),
        (8, "cuda", [0, 1, 1], 0),
    ],
)
def test_the_log_says_once_that_a_third_is_waiting(
    workers: int, device: str, waits: list[float], said: int, caplog: pytest.LogCaptureFixture
) -> None:
    meter = Waiting(torch.device(device), workers)
    with caplog.at_level(logging.WARNING):
        for epoch, waited in enumerate(waits):
            meter.warn(record(epoch, 10.0, waited), planned=len(waits))
    found = [item.getMessage() for item in caplog.records]
    assert len(found) == said
    assert all("% of its time" in text and "loader_workers" in text for text in found)


def test_a_single_epoch_is_judged_with_its_beginning(caplog: pytest.LogCaptureFixture) -> None:
    Waiting(CPU, workers=1).warn(record(0, 10.0, 5.0), planned=1)
    assert "50% of its time" in caplog.text and "loader_workers: 2" in caplog.text


def test_results_from_before_it_was_measured_have_no_share() -> None:
    assert share_waited([record(0, 5.0, None)]) is None
    assert advice(0, "cpu") is None


def test_cuda_counts_the_time_in_which_the_device_was_idle(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host waits 3 s for each batch, during 2 of which the device still works."""

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: Any) -> None:
            self.moment = clock.now

        def elapsed_time(self, other: Event) -> float:
            return max(0.0, (other.moment - self.moment - 2.0) * 1000)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    meter = Waiting(torch.device("cuda"), workers=2)
    list(meter.watch(slow(clock, [3.0, 3.0])))
    assert meter.seconds() == pytest.approx(2.0)
