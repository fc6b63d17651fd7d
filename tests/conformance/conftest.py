"""Options by which plugin authors run the conformance suites on code of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


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
