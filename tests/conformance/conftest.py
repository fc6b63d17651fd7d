"""Options by which plugin authors run the conformance suites on code of their own, and who answers these."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from bench_core.conformance import elsewhere
from tests.helpers.answering import Answering


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--plugin", type=Path, action="append", default=[], help="Plugin file to load; repeatable."
    )
    parser.addoption(
        "--model",
        action="append",
        default=[],
        help="Check these models only; repeatable, source:name included.",
    )


@pytest.fixture(scope="session", autouse=True)
def _answering() -> Iterator[None]:
    """Ask one process whatever the suites ask another: each new one would import a framework first."""
    if sys.platform != "linux":
        yield
        return
    with closing(Answering()) as answering, mock.patch.object(elsewhere, "subprocess", answering):
        yield
