"""Numbers of public reference implementations, from outside: pytest tests/golden --golden-dir DIR."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.golden import golden_files


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        action="append",
        help="Folder with NAME.json and NAME.npz of reference implementations, searched with its subfolders; "
        "may be given several times.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_file" not in metafunc.fixturenames:
        return
    folders: list[Path] = metafunc.config.getoption("--golden-dir", default=None) or []
    if not folders:
        reason = "golden numbers are not part of the repository: give --golden-dir DIR"
        nothing = pytest.param(None, marks=pytest.mark.skip(reason))
        metafunc.parametrize("golden_file", [nothing], ids=["none"])
        return
    try:
        files = golden_files(folders)
    except FileNotFoundError as error:
        raise pytest.UsageError(str(error)) from error
    metafunc.parametrize("golden_file", files, ids=[file.stem for file in files])
