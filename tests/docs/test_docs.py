"""What the pages say works: specs validate, commands and options exist, links lead somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest

from bench_core.cli.main import COMMANDS
from bench_core.plan.expand import Plan
from bench_core.plan.load import load_plan
from bench_core.spec.load import load_spec
from tests.helpers.bench import QUICK_TORCH, call_bench

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def command_lines(page: Path) -> list[str]:
    text = "\n".join(blocks(page, "bash", "console", "sh")).replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ").split("  #")[0] for line in text.splitlines())
    return [part.strip() for line in lines if line for part in line.split("&&")]


SPECS = [(page, text) for page in PAGES for text in blocks(page, "yaml") if "version: 1" in text]
COMMAND_LINES = [
    (page, line)
    for page in PAGES
    for line in command_lines(page)
    if line.split(" ")[0].endswith(("bench", "/bench"))
]


def test_there_is_something_to_check() -> None:
    assert len(SPECS) >= 2 and len(COMMAND_LINES) >= 10


@pytest.mark.parametrize(("page", "text"), SPECS, ids=lambda value: getattr(value, "stem", None) or "spec")
def test_specs_on_the_pages_validate(page: Path, text: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    load_spec(path)


@pytest.mark.parametrize(
    ("page", "line"), COMMAND_LINES, ids=lambda value: getattr(value, "stem", None) or value
)
def test_commands_on_the_pages_parse(page: Path, line: str) -> None:
    words = shlex.split(re.split(r" [|>] ?", line)[0])[1:]
    if not words or words[0].startswith("-"):
        return
    assert words[0] in COMMANDS, line
    command = importlib.import_module(f"bench_core.cli.{words[0]}").command
    while isinstance(command, click.Group) and words[1:2]:
        command, words = command.commands[words[1]], words[1:]
    assert isinstance(command, click.Command)
    other, rest = command.handed(words[1:]) if hasattr(command, "handed") else (None, [])
    if other is not None:
        command, words = other, [words[0], *rest]
    with click.Context(command, info_name=words[0], resilient_parsing=True) as context:
        command.parse_args(context, words[1:])
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    used = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
    assert used <= known | {"--help"}, f"{line}: no such option"


SHIPPED = [(page, line) for page, line in COMMAND_LINES if re.search(r" specs/[\w-]+\.yaml", line)]
JOBS = [(page, line) for page, line in COMMAND_LINES if "/fold-" in line]


@cache
def planned(spec: str) -> Plan:
    return load_plan(REPOSITORY / spec)[1]


def test_there_are_labels_to_check() -> None:
    assert len(SHIPPED) >= 20 and len(JOBS) >= 2


@pytest.mark.parametrize(("page", "line"), SHIPPED, ids=lambda value: getattr(value, "stem", None) or value)
def test_commands_on_the_pages_name_what_their_spec_has(page: Path, line: str) -> None:
    words = shlex.split(re.split(r" [|>] ?", line)[0])[1:]
    plan = planned(next(word for word in words if re.fullmatch(r"specs/[\w-]+\.yaml", word)))
    known = {
        "model": set(plan.models),
        "dataset": set(plan.datasets),
        "stage": {job.stage for job in plan.jobs},
    }
    named = [(word[2:], value) for word, value in pairwise(words) if word in ("--model", "--dataset")]
    if "--only" in words:
        named += [
            (key, each) for key, _, value in (w.partition("=") for w in words) for each in value.split(",")
        ]
    if words[0] == "compare" and not words[1].startswith("results"):
        named += [("model", words[1]), ("model", words[2])]
    for key, value in named:
        assert value in known.get(key, {value}), f"{line}: {key} {value} is not in the spec"


@pytest.mark.parametrize(("page", "line"), JOBS, ids=lambda value: getattr(value, "stem", None) or value)
def test_jobs_on_the_pages_are_those_of_the_quickstart(page: Path, line: str) -> None:
    names = {job.name for job in planned("specs/quickstart.yaml").jobs}
    assert {word for word in shlex.split(line) if "/fold-" in word} <= names


TRAINING = ("run", "report")
"""Minutes of training and what needs its results: `make quickstart` runs these two in CI."""
README_COMMANDS = dict.fromkeys(
    line for page, line in COMMAND_LINES if page.name == "README.md" and line.split()[1] not in TRAINING
)


def test_the_readme_shows_commands_that_can_be_run_here() -> None:
    assert len(README_COMMANDS) >= 5


@pytest.mark.parametrize("line", README_COMMANDS)
def test_readme_commands_succeed(line: str, tmp_path: Path) -> None:
    words, store = shlex.split(line)[1:], str(tmp_path / "results")
    done = call_bench(*words, cwd=REPOSITORY, SEGTRIAL_STORE=store, **QUICK_TORCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_two_readme_commands_are_the_makefile_s() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in ("quickstart", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "-c constraints.txt" in readme
