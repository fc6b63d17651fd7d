"""Numbers of public reference implementations, from outside: pytest tests/golden --golden-dir DIR."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=None,
        help="Folder with NAME.json and NAME.npz of the reference implementations.",
    )


@pytest.fixture(scope="session")
def golden_dir(request: pytest.FixtureRequest) -> Path:
    folder: Path | None = request.config.getoption("--golden-dir", default=None)
    if folder is None:
        pytest.skip("golden numbers are not part of the repository: give --golden-dir DIR")
    return folder
