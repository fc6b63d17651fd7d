"""Plugins that do what they should not: one error that names the plugin, and stdout stays a program's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench_core.cli.main import main
from bench_core.errors import BenchError, PluginError
from bench_core.plugins.wiring import load_registry
from tests.helpers.bench import run_bench

START = "from bench_core import Architecture, Dataset, Metric, ModelSource, Option, Task, hookimpl\n"
RUDE = """
class Rude(BaseException):
    def __str__(self):
        raise SystemExit("no words")


class Hidden:
    segtrial_impl = property(lambda self: 1 / 0)
    def __repr__(self):
        raise Rude()
    def __getattr__(self, name):
        raise Rude()
"""


def net(**changes: object) -> str:
    fields = {"name": "'mine'", "family": "'x'", "runner": "'torch'", "version": "1"} | changes
    given = ", ".join(f"{key}={value}" for key, value in fields.items())
    return f"@hookimpl\ndef bench_models():\n    return [Architecture({given})]\n"


IMPORTS = {
    "base": ("class Odd(BaseException): pass\nraise Odd('gone')", "Odd: gone"),
    "generator": ("raise GeneratorExit", "GeneratorExit"),
    "exit": ("raise SystemExit(0)", "ends the program"),
    "wordless": (RUDE + "raise Rude()", "Rude"),
    "long": ("raise ValueError('x' * 100_000)", "x..."),
    "escape": ("raise ValueError('\\x1b[31mred')", "\\x1b[31mred"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "closed": ("import sys\nsys.stdout.close()\nsys.stdout.write('x')\nraise OSError('end')", "end"),
}
HOOKS = {
    "unmarked": ("def bench_models():\n    return []\n", "not marked as a hook"),
    "constant": ("bench_models = []\n", "not marked as a hook"),
    "class": ("@hookimpl\nclass bench_models:\n    pass\n", "not a function"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef bench_models():\n    return (yield)\n", "wrapper"),
    "argument": ("@hookimpl\ndef bench_models(spec):\n    return []\n", "not valid"),
    "none": ("@hookimpl\ndef bench_models():\n    pass\n", "returned None"),
    "text": ("@hookimpl\ndef bench_models():\n    return 'u-net'\n", "returned 'u-net'"),
    "single": (net().replace("[", "").replace("]", ""), "not a list"),
    "exit": ("@hookimpl\ndef bench_models():\n    raise SystemExit(3)\n", "ends the program"),
    "base": (RUDE + "@hookimpl\ndef bench_models():\n    raise Rude()\n", "failed: Rude"),
    "other": ("@hookimpl\ndef bench_models():\n    return [Task(classes=(), channels=1)]\n", "not of type"),
    "repr": (RUDE + "@hookimpl\ndef bench_models():\n    return [Hidden()]\n", "something of type Hidden"),
    "version": (net(version="'1'"), "version is '1', but must be int"),
    "bool": (net(version="True"), "version is True"),
    "pretrained": (net(pretrained="'imagenet'"), "pretrained is 'imagenet'"),
    "options": (net(options="{'width': 3}"), "options is {'width': 3}"),
    "inside": (net(options="{'width': Option(type=int, default=1, help=None)}"), "options is"),
    "build": (net(build="3"), "build is 3"),
    "path": (net(name="'../mine'"), "it is a path"),
    "hidden": (net(name="'a\\nb'"), "U+000A"),
    "colon": (net(name="'smp:mine'"), "colon"),
    "empty": (net(name="''"), "empty"),
    "task": (
        "@hookimpl\ndef bench_datasets():\n    return [Dataset(name='d', version=1, task='x')]\n",
        "task is 'x'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), IMPORTS.values(), ids=IMPORTS)
def test_at_import(code: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.py"
    path.write_text(code)
    with pytest.raises(PluginError) as caught:
        load_registry([path])
    assert said in str(caught.value) and "bad.py" in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "segtrial_plugin_bad" not in sys.modules
    print("stdout is open")
    assert capsys.readouterr().out == "stdout is open\n"


@pytest.mark.parametrize(("code", "said"), HOOKS.values(), ids=HOOKS)
def test_in_hooks(code: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(START + code)
    with pytest.raises(PluginError) as caught:
        load_registry([path])
    assert said in str(caught.value) and "bad.py" in str(caught.value)


def test_odd_objects_in_a_plugin_harm_nobody(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(START + RUDE + "odd = Hidden()\n" + net())
    assert load_registry([path]).model("mine").family == "x"


RESOLVE = """
def resolve(name):
    print("looking")
    if name == "zoo:exit":
        raise SystemExit
    if name == "zoo:wrong":
        return Architecture(name=name, family=3, runner="torch", version=1)
    return None

@hookimpl
def bench_model_sources():
    return [ModelSource(prefix="zoo", runner="torch", help="a zoo", resolve=resolve)]
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [("zoo:exit", "ends the program"), ("zoo:wrong", "family is 3"), ("zoo:none", "it is None")],
)
def test_in_sources(name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "zoo.py"
    path.write_text(START + RESOLVE)
    registry = load_registry([path])
    with pytest.raises(BenchError, match=said):
        registry.model(name)
    assert capsys.readouterr().out == ""


LOUD = """
import sys

print("hello from the import")
sys.stdout.flush()
kept = sys.stdout


def task(options):
    print("hello from the task")
    kept.write("and again")
    sys.stdout.close()
    return Task(classes=("a",), channels=1)


@hookimpl
def bench_datasets():
    print("hello from the hook")
    return [Dataset(name="loud", version=1, task=task, needs_root=False)]
"""
SPEC = """\
version: 1
name: loud
plugins: [loud.py]
models: [u-net]
datasets: [loud]
protocol: {image_size: 64, learning_rate: 1e-3, pretrained: none, evaluate: {folds: 3, epochs: 1}}
"""


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "SPEC", "--json"],
        ["status", "SPEC", "--json"],
        ["validate", "SPEC", "--format", "json"],
        ["validate", "SPEC", "--json"],
        ["list", "datasets", "--plugin", "PLUGIN", "--json"],
    ],
    ids=" ".join,
)
def test_json_is_all_that_stdout_gets(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loud.py").write_text(START + LOUD)
    (tmp_path / "spec.yaml").write_text(SPEC)
    places = {"SPEC": str(tmp_path / "spec.yaml"), "PLUGIN": str(tmp_path / "loud.py")}
    monkeypatch.setattr(sys, "argv", ["bench", *(places.get(word, word) for word in words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert "hello from the import" in err and "hello from the hook" in err


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_json_is_all_that_the_descriptor_of_stdout_gets(command: str, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("import os\n" + START + LOUD.replace("print(", "os.write(1, b"))
    (tmp_path / "spec.yaml").write_text(SPEC)
    done = run_bench(command, tmp_path / "spec.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert "hello from the import" in done.stderr and "hello from the hook" in done.stderr
