"""Plugins: every hook is documented, listed and heard; what is wrong with one is said with its place."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

import pytest

from bench_core import JobEvent, hookspecs
from bench_core.declarations import resolve_entry
from bench_core.errors import MissingDependencyError, PluginError, UnknownNameError
from bench_core.plugins.wiring import load_plugin_file, load_registry

HOOKS = [name for name in vars(hookspecs) if name.startswith("bench_")]

PLUGIN = """
from bench_core import (Analysis, Architecture, Dataset, ExecutorDeclaration, Metric, ModelSource,
                        RunnerDeclaration, Step, Task, hookimpl)

HEARD = []

@hookimpl
def bench_models():
    return [Architecture(name="mine", family="own", runner="torch", version=1, build="x:y")]

@hookimpl
def bench_model_sources():
    return [ModelSource(prefix="zoo", runner="torch", help="a zoo",
            resolve=lambda name: Architecture(name=name, family="zoo", runner="torch", version=1))]

@hookimpl
def bench_datasets():
    return [Dataset(name="my-data", version=1, task=Task(classes=("a",), channels=3))]

@hookimpl
def bench_runners():
    return [RunnerDeclaration(name="my-runner", fit="x:y", help="a runner")]

@hookimpl
def bench_executors():
    return [ExecutorDeclaration(name="my-cluster", start="x:y", help="a cluster")]

@hookimpl
def bench_steps():
    return [Step(name="my-step", version=1, run="x:y", help="a step")]

@hookimpl
def bench_metrics():
    return [Metric(name="my-metric", title="MM", version=1, needs="labels", compute="x:y", unit="length",
                   better="lower", definition="A distance.", empty="The worst.")]

@hookimpl
def bench_analyses():
    return [Analysis(name="my-analysis", help="a part", section="x:y")]

@hookimpl
def bench_commands():
    import click

    return [click.Command("greet", help="Say hello.")]

@hookimpl
def bench_event(event):
    HEARD.append(event)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "my_plugin.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_used_here(hook: str) -> None:
    assert inspect.getdoc(getattr(hookspecs, hook))
    assert f"def {hook}(" in PLUGIN
    assert hook in (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def test_one_file_adds_every_kind_of_thing(plugin: Path) -> None:
    registry = load_registry([plugin])
    assert registry.model("mine").family == "own"
    assert registry.model("zoo:anything/at-all").name == "zoo:anything/at-all"
    assert registry.dataset("my-data").task_for({}).binary
    assert registry.runner("my-runner").help == "a runner"
    assert registry.executor("my-cluster").options == {}
    assert registry.step("my-step").needs == "predictions"
    assert registry.metric("my-metric").of_class == "MM"
    assert registry.analysis("my-analysis").name == "my-analysis"
    assert registry.plugins["my_plugin"] == str(plugin)
    assert "greet" in registry.commands


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ('[click.Command("run")]', "'run', which bench has itself"),
        ('[click.Command("hi"), click.Command("hi")]', "declared twice"),
        ('["hi"]', "is not of type"),
    ],
)
def test_a_command_that_clashes_is_refused(tmp_path: Path, declared: str, message: str) -> None:
    path = tmp_path / "clash.py"
    path.write_text(
        "import click\nfrom bench_core import hookimpl\n\n"
        f"@hookimpl\ndef bench_commands():\n    return {declared}\n"
    )
    with pytest.raises(PluginError, match=message):
        load_registry([path])


def test_events_reach_listeners(plugin: Path) -> None:
    registry = load_registry([plugin])
    event = JobEvent(kind="epoch", digest="0" * 32, epoch=3)
    registry.event(event)
    assert registry.manager is not None
    assert [event] == registry.manager.get_plugin("my_plugin").HEARD


def test_first_party_plugins_come_through_the_entry_point() -> None:
    registry = load_registry()
    assert {"bench_torch", "bench_sma", "bench_gpvm", "bench_datasets"} <= set(registry.plugins)
    assert all(origin.startswith("entry point") for origin in registry.plugins.values())


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [("model", "u-nett", "u-net"), ("dataset", "isic2081", "isic2018"), ("runner", "torhc", "torch")],
)
def test_unknown_names_get_the_nearest_valid_one(kind: str, name: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        getattr(load_registry(), kind)(name)
    assert caught.value.fix == f"did you mean {nearest!r}?"


@pytest.mark.parametrize(
    ("source", "message", "place"),
    [
        ("import nothing_of_this_name", "failed to import", ":1"),
        ("x = 1\nraise RuntimeError('broken')", "broken", ":2"),
        ("import sys\nsys.exit('goodbye')", "ends the program", "bad.py"),
        ("def broken(:\n    pass", "SyntaxError", ":1"),
        (
            "from bench_core import hookimpl\n@hookimpl\ndef bench_modles():\n    return []",
            "unknown hook 'bench_modles'",
            "bad.py",
        ),
        (
            "from bench_core import hookimpl\n@hookimpl\ndef bench_event(happening):\n    return None",
            "not valid",
            "bad.py",
        ),
        (
            "from bench_core import hookimpl\n@hookimpl\ndef bench_models():\n    return [42]",
            "is not of type",
            "bad",
        ),
        (
            "from bench_core import Architecture, hookimpl\n@hookimpl\ndef bench_models():\n"
            "    return [Architecture(name='u-net', family='x', runner='torch', version=1)]",
            "declared twice",
            "",
        ),
        (
            "from bench_core import ExecutorDeclaration, hookimpl\n@hookimpl\ndef bench_executors():\n"
            "    return [ExecutorDeclaration(name='local', start='x:y', help='here')]",
            "the executor 'local', which is this machine",
            "bad.py",
        ),
    ],
    ids=[
        "import",
        "raise",
        "exit",
        "syntax",
        "unknown-hook",
        "wrong-argument",
        "no-declaration",
        "twice",
        "reserved",
    ],
)
def test_a_broken_plugin_is_one_error_with_its_place(
    tmp_path: Path, source: str, message: str, place: str
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(PluginError) as caught:
        load_registry([path])
    assert message in str(caught.value)
    assert place in (caught.value.place or "")


def test_a_missing_plugin_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="does not exist") as caught:
        load_registry([tmp_path / "gone.py"])
    assert caught.value.place == str(tmp_path / "gone.py")
    (tmp_path / "notes.txt").write_text("VALUE = 1\n")
    with pytest.raises(PluginError, match="not a Python module"):
        load_registry([tmp_path / "notes.txt"])


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("libGL.so.1: cannot open shared object file", "opencv-python-headless"),
        ("undefined symbol: something", "bench doctor"),
    ],
)
def test_an_import_that_breaks_names_the_cause_and_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, fix: str
) -> None:
    (tmp_path / "broken_runner.py").write_text(f"raise ImportError({message!r})\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError) as caught:
        resolve_entry("broken_runner:fit")
    assert caught.value.cause == message
    assert fix in (caught.value.fix or "")


def test_code_is_that_of_the_file_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "edited.py"
    for value in (1, 2):
        path.write_text(f"value = {value}\n")
        os.utime(path, (1e9, 1e9))
        module = load_plugin_file(path)
        assert module.value == value
    assert [item.name for item in tmp_path.iterdir()] == ["edited.py"]
