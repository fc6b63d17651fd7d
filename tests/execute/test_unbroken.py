from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bench_core.processes.unbroken import unbroken

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_end_of_the_outermost_block(number: signal.Signals) -> None:
    order: list[str] = []
    signal.signal(number, lambda *_: order.append("signal"))
    with unbroken():
        with unbroken():
            os.kill(os.getpid(), number)
            order.append("inner")
        order.append("outer")
    order.append("after")
    assert order == ["inner", "outer", "signal", "after"]


def test_an_exception_of_the_handler_comes_after_the_block_and_handlers_are_put_back() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before, whole = [signal.getsignal(number) for number in SIGNALS], False
    with pytest.raises(KeyboardInterrupt), unbroken():
        os.kill(os.getpid(), signal.SIGINT)
        whole = True
    assert whole and [signal.getsignal(number) for number in SIGNALS] == before


def test_an_error_inside_keeps_the_signal() -> None:
    heard: list[Any] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    with pytest.raises(ZeroDivisionError), unbroken():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError
    assert heard == [signal.SIGTERM]


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with unbroken():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_in_another_thread_it_does_nothing() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with unbroken():
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
