"""Names and messages of others: nothing in them acts on a terminal, a page, a table or a program's input."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.cli.screen import SafeConsole
from bench_core.errors import BenchError
from bench_core.store.files import read_json, write_json
from bench_core.store.result import Failure
from bench_core.text import hidden_in, json_visible, table_cell, visible, visible_name
from tests.helpers.bench import QUICK_TORCH, call_bench
from tests.helpers.commands_in_turn import call_in_turn
from tests.helpers.fake_study import PLUGIN, Study, write_study

ATTACK = "\x1b]0;owned\x07\x1b[2K\x9b31m\u202egpj.exe\u2028\r\udcff"
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
TEXT = st.text(alphabet=st.characters() | st.sampled_from(list(ATTACK)), max_size=20)


@given(TEXT)
def test_visible_text_can_be_encoded_and_holds_nothing_hidden(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not HIDDEN.search(shown) and visible(shown) == shown
    assert hidden_in(shown) is None
    assert "\n" not in visible_name(text) and "\t" not in visible_name(text)
    if hidden_in(text) is None:
        assert shown == text


@given(
    st.recursive(
        TEXT | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
    )
)
def test_json_stays_json(data: object) -> None:
    text = json.dumps(data, ensure_ascii=False)
    for ascii_only in (False, True):
        shown = json_visible(text, ascii_only=ascii_only)
        shown.encode("ascii" if ascii_only else "utf-8")
        assert not HIDDEN.search(shown)
        again = json.loads(shown)
        if not re.search("[\ud800-\udfff]", text):
            assert again == data


@given(
    TEXT.map(lambda text: "=" + text) | st.sampled_from(["+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=1"])
)
def test_cells_are_no_formulas(text: str) -> None:
    assert not table_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    out = io.StringIO()
    csv.writer(out).writerow([table_cell(text)])
    assert next(csv.reader(io.StringIO(out.getvalue()))) == [table_cell(text)]


@pytest.mark.parametrize("text", ["-1", "+0.5", "-1e-4", "-12.5 %", "a=b", "0", ""])
def test_plain_numbers_stay_numbers(text: str) -> None:
    assert table_cell(text) == text


def test_errors_are_safe_to_print() -> None:
    error = BenchError(f"a{ATTACK}", place=ATTACK, cause=ATTACK, fix=ATTACK)
    assert not HIDDEN.search(str(error))
    str(error).encode()


def test_a_console_keeps_its_own_colors_only() -> None:
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, color_system="truecolor", width=200)
    table = Table(ATTACK)
    table.add_row(Text(f"x{ATTACK}", style="red"))
    console.print(table)
    console.print(f"plain {ATTACK}", markup=False)
    printed = re.sub("\x1b\\[[0-9;]*m", "", out.getvalue())
    assert not HIDDEN.search(printed)
    assert "\x1b[31m" in out.getvalue() and "owned" in printed


def test_a_result_is_written_whatever_a_name_holds(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"command": ["bench", ATTACK]})
    (command,) = (read_json(tmp_path / "a.json", "")["command"][1:],)
    assert command[0].endswith("\\xff") and "\u202e" in command[0]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Study:
    plugin = PLUGIN.replace('"BroadFormer"', repr(f"=Broad{ATTACK[:-1]}"))
    study = write_study(
        tmp_path_factory.mktemp("study"), plugin=plugin, keep=lambda job: job.model.label != "ring"
    )
    job = next(job for job in study.plan.jobs if job.model.label == "ring")
    study.store.fail(job, Failure(job.digest, job.name, "Boom", f"failed {ATTACK}", ATTACK, ATTACK, ATTACK))
    log = study.store.log_path(study.plan.jobs[0].digest)
    assert log is None or log.is_file()
    return study


COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["report", "--out", "out"],
    ["report", "--out", "out", "--json"],
    ["plan"],
    ["plan", "--json"],
    ["verify"],
    ["compare", "broad", "wide"],
    ["compare", "broad", "wide", "--json"],
    ["list", "models", "--plugin"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_prints_what_acts(arguments: list[str], hostile: Study, tmp_path: Path) -> None:
    spec, store = hostile.loaded.path, hostile.store.path
    if arguments[0] == "list":
        words = [*arguments, str(spec.parent / "study_plugin.py")]
    else:
        place = 3 if arguments[0] == "compare" else 1
        words = [*arguments[:place], str(spec), "--store", str(store), *arguments[place:]]
    done = call_bench(*words, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert not HIDDEN.search(done.stdout + done.stderr)
    if "--json" in arguments:
        json.loads(done.stdout)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert not HIDDEN.search(path.read_text(encoding="utf-8")), path
            if path.suffix == ".csv":
                cells = [cell for row in csv.reader(path.open(newline="")) for cell in row]
                assert not [cell for cell in cells if table_cell(cell) != cell]


def test_a_log_is_printed_as_lines(hostile: Study) -> None:
    job = hostile.plan.jobs[0]
    folder = hostile.store.path / "jobs" / job.digest
    (folder / "log.txt").write_bytes(b"10%\r20%\r\nred \x1b[31m\x9b \xff end\n")
    done = call_bench("logs", job.digest, "--store", hostile.store.path)
    assert done.returncode == 0
    assert done.stdout == "10%\n20%\nred \\x1b[31m\ufffd \ufffd end\n"


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": "C"}
SPELLED = [
    ["doctor"],
    ["doctor", "--json"],
    ["list", "models"],
    ["list", "datasets", "--json"],
    ["schema"],
    ["--help"],
    ["validate", "SPEC"],
    ["plan", "SPEC"],
    ["plan", "SPEC", "--json"],
    ["status", "SPEC", "--store", "STORE"],
    ["verify", "SPEC", "--store", "STORE"],
    ["report", "SPEC", "--store", "STORE", "--out", "out"],
    ["validate", "ünknown.yaml"],
    ["weights", "list"],
]


@pytest.fixture(scope="module")
def spelled(
    hostile: Study, tmp_path_factory: pytest.TempPathFactory
) -> list[subprocess.CompletedProcess[bytes]]:
    """Return how each of SPELLED ended, all in one process that cannot print UTF-8."""
    names = {"SPEC": str(hostile.loaded.path), "STORE": str(hostile.store.path)}
    commands = [[names.get(word, word) for word in command] for command in SPELLED]
    return call_in_turn(commands, cwd=tmp_path_factory.mktemp("cwd"), environment=ASCII | QUICK_TORCH)


@pytest.mark.parametrize("number", range(len(SPELLED)), ids=[" ".join(words) for words in SPELLED])
def test_no_command_fails_for_its_encoding(
    number: int, spelled: list[subprocess.CompletedProcess[bytes]]
) -> None:
    done = spelled[number]
    assert b"Traceback" not in done.stderr and b"UnicodeEncodeError" not in done.stderr + done.stdout
    assert (done.stdout + done.stderr).decode("ascii")
    if "--json" in SPELLED[number]:
        json.loads(done.stdout)


def test_names_out_of_utf_8_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    strange = os.fsdecode(b"\xff")
    for words in (
        ["run", "x.yaml", "--store", strange],
        ["report", "x.yaml", "--out", strange],
        ["validate", strange],
        ["run", strange],
    ):
        done = call_bench(*words, cwd=tmp_path)
        assert done.returncode == 2 and "0xff" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
