"""Paths in a spec that cannot name a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec
from tests.helpers.spec_files import VALID, edited, findings, write

ROOT = "data/skin"


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("~nosuchuser/data", "no user 'nosuchuser'"),
        ("~nosuchuser", "no user 'nosuchuser'"),
        ("x" * 300, "longer than 255 bytes"),
        ("é" * 200, "longer than 255 bytes"),
        ("x/" * 2100, "longer than 4096 bytes"),
        ("loop", "run in a circle"),
        ("loop/inside", "run in a circle"),
    ],
)
def test_roots_weights_and_plugins(root: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("pool")
    (tmp_path / "pool").symlink_to("loop")
    text = edited((f"root: {ROOT}", f"root: {root}"), ("{width: 8}}", f"{{width: 8}}, weights: {root}}}"))
    found = findings(write(tmp_path, text))
    assert [(item.check, item.line) for item in found] == [("path", 5), ("path", 8)]
    assert all(why in (item.cause or "") for item in found)


@pytest.mark.parametrize("name", ["~nosuchuser/a.py", "x" * 300 + ".py", "loop.py", "gone.py"])
def test_plugin_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    with pytest.raises(SpecError) as caught:
        load_spec(write(tmp_path, VALID + f"plugins: [{name}]\n"))
    assert [(item.line, item.column) for item in caught.value.diagnostics if item.check == "plugin"] == [
        (22, 11)
    ]


@pytest.mark.parametrize("name", ["~nosuchuser.yaml", "x" * 300, "loop.yaml", '"\\0"'])
def test_base_specs(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    found = findings(write(tmp_path, VALID + f"extends: {name}\n"))
    assert [(item.check, item.line, item.column) for item in found] == [("extends", 22, 10)]
