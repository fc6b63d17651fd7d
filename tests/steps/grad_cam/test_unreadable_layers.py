"""Layers that a network does not have, or that return no maps: told before anything runs, at their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.plan.expand import make_plan
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec
from tests.helpers.cam_study import write_cams


def called(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(item) for item in arguments], catch_exceptions=False)


def written(folder: Path, layer: str, models: str) -> Path:
    return write_cams(
        folder, f"{{name: grad-cam, options: {{sets: [random], layer: {layer}}}}}", models=models
    )


def validated(path: Path) -> tuple[int, list[dict[str, Any]]]:
    done = called("validate", path, "--json")
    return done.exit_code, json.loads(done.stdout)["specs"][0]["diagnostics"]


def line_of_steps(path: Path) -> int:
    return next(at for at, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("steps:"))


@pytest.mark.parametrize("layer", ["sweep", "encoder", "decoder"])
def test_a_model_that_declares_none_is_passed_over_and_said_to_be(tmp_path: Path, layer: str) -> None:
    path = written(tmp_path, layer, "[look-net, bare-net]")
    assert called("validate", path).exit_code == 0
    plan = json.loads(called("plan", path, "--json").stdout)
    assert {job["model"] for job in plan["jobs"] if job["stage"] == "grad-cam-random"} == {"look-net"}
    (passed,) = plan["passed_over"]
    assert (passed["step"], passed["model"], passed["dataset"]) == ("grad-cam-random", "bare-net", "")
    assert f"declares no layers for `layer: {layer}`" in passed["because"]
    assert "grad-cam-random on jobs of bare-net: " in called("plan", path).stdout


def test_where_no_model_declares_any_the_entry_is_a_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, "sweep", "[bare-net, box-rule]")
    code, (item,) = validated(path)
    assert code == 1 and item["line"] == line_of_steps(path)
    assert "bare-net: it declares no layers" in item["cause"] and item["fix"]


def test_a_name_that_nobody_declares_is_a_warning_with_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, "corse", "[look-net, box-rule]")
    code, (item,) = validated(path)
    assert (code, item["severity"], item["line"]) == (0, "warning", line_of_steps(path))
    assert "look-net: it declares no layer 'corse', the nearest is 'coarse'" in item["cause"]
    assert validated(written(tmp_path / "b", "coarse", "[look-net]")) == (0, [])


@pytest.mark.parametrize(
    ("layer", "models", "said", "fix"),
    [
        ("corse", "[look-net, draw-net]", "has no layer 'corse'", "did you mean 'coarse'?"),
        ("finer.0", "[look-net]", "has no layer 'finer.0'", "did you mean 'fine.0'?"),
        ("head.nothing", "[bare-net]", "has no layer 'head.nothing'", "layer: auto"),
        ("coarse.flat", "[look-net]", "returns no maps", "name a layer that returns one tensor"),
    ],
)
def test_a_run_is_refused_before_anything_is_trained(
    tmp_path: Path, layer: str, models: str, said: str, fix: str
) -> None:
    path, store = written(tmp_path, layer, models), tmp_path / "store"
    plugin = path.with_name("plugin.py")
    plugin.write_text(
        plugin.read_text().replace(
            "self.head = nn.Conv2d(8,",
            "self.coarse.add_module('flat', nn.Sequential(nn.Flatten(), nn.Unflatten(1, (8, 4, -1))))\n"
            "            self.head = nn.Conv2d(8,",
        )
        if layer == "coarse.flat"
        else plugin.read_text()
    )
    with pytest.raises(SpecError) as caught:
        called("run", path, "--store", store)
    text = str(caught.value)
    assert said in text and fix in text and f"spec.yaml:{line_of_steps(path)}" in text, text
    assert text.count(said) == len(load_spec(path).spec.models), "once for each model"
    assert not list(store.glob("jobs/*")) and not list(store.glob("running/*"))


def test_a_module_that_nobody_declares_runs_and_digests_stay(tmp_path: Path) -> None:
    from bench_core.execute.tried import try_networks

    path = written(tmp_path, "fine.0", "[look-net]")
    loaded = load_spec(path)
    plan = make_plan(loaded.spec, loaded.registry)
    assert list(try_networks(plan.jobs, loaded.registry)) == []
