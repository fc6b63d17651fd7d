"""A report with pictures, and a browser to open its page in: both once for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench_core.report.compose import Report, compose
from bench_core.report.page import to_html
from tests.helpers.chromium import Browser, browser
from tests.helpers.fake_study import Study
from tests.helpers.pictured_study import write_pictured


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_pictured(tmp_path_factory.mktemp("pictured"))


@pytest.fixture(scope="session")
def report(study: Study) -> Report:
    found = compose(study.evidence(), study.loaded.registry)
    return replace(found, name="<b>hostile</b> & name")


@pytest.fixture(scope="session")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(to_html(report), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        found.screen(1200)
        yield found
