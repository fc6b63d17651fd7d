"""The page as PDF: printed by what the machine has, and an error that helps where it has nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench_core.cli.main import main
from bench_core.errors import MissingDependencyError, StoreError
from bench_core.report.pdf import VARIABLE, find_browser, print_page
from tests.helpers.chromium import CHROMIUM, MISSING
from tests.helpers.fake_study import write_study

PRINTER = """#!{python}
import sys, time
from pathlib import Path
words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
{body}
"""


def program(folder: Path, body: str) -> str:
    path = folder / "browser"
    path.write_text(PRINTER.format(python=sys.executable, body=body))
    path.chmod(0o755)
    return str(path)


def bench(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *(str(item) for item in arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_it_prints_with_the_named_program(tmp_path: Path, monkeypatch, capsys) -> None:
    study = write_study(
        tmp_path,
        keep=lambda job: job.model.label == "ring" and job.stage == "evaluate",
        more="analyses: []\n",
    )
    body = "Path(words['--print-to-pdf']).write_text('%PDF ' + ' '.join(sys.argv))"
    monkeypatch.setenv(VARIABLE, program(tmp_path, body))
    common = ("report", study.loaded.path, "--store", study.store.path, "--out", tmp_path / "out", "--pdf")
    assert bench(monkeypatch, *common) == 0
    text = (tmp_path / "out" / "report.pdf").read_text()
    assert text.startswith("%PDF") and (tmp_path / "out" / "report.html").as_uri() in text
    assert "MAP * ~NOTFOUND" in text
    assert f"wrote {tmp_path / 'out' / 'report.pdf'}" in capsys.readouterr().out
    assert bench(monkeypatch, *common, "--format", "csv") == 2
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    capsys.readouterr()
    assert bench(monkeypatch, *common, "--force") == 2
    said = capsys.readouterr().err
    assert VARIABLE in said and "fix: install Chromium" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("sys.exit('no display')", "no display"),
        ("pass", "wrote no file"),
        ("Path(words['--print-to-pdf']).touch()", "wrote no file"),
        ("time.sleep(600)", "ended after 1 seconds"),
    ],
)
def test_a_program_that_fails_leaves_nothing_and_says_why(tmp_path: Path, body: str, cause: str) -> None:
    page = tmp_path / "report.html"
    page.write_text("<p>x</p>")
    with pytest.raises(StoreError) as caught:
        print_page(
            page, tmp_path / "report.pdf", program(tmp_path, body), patience=1 if "sleep" in body else 60
        )
    assert cause in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "browser"}


def test_no_browser_at_all_is_a_missing_dependency(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("bench_core.report.pdf._PLACES", ())
    with pytest.raises(MissingDependencyError, match="needs Chromium"):
        find_browser()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_chromium_prints_the_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<!doctype html><title>x</title><p>Hello</p>")
    print_page(page, tmp_path / "report.pdf", find_browser())
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF") and b"%%EOF" in content[-1024:]
