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
    parser.addoption(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME[={OPTIONS}]",
        help='Check these datasets only, with options as JSON: synthetic={"look":"endoscopy"}; repeatable.',
    )
    parser.addoption("--root", type=Path, default=None, help="Root folder of the datasets that need one.")
