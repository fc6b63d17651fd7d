"""The page on executors: its executor is the one that `bench new` writes, and starts real workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench_core.conformance.executors import PROPERTIES, judge, subject_of
from bench_core.plugins.wiring import load_registry
from bench_core.scaffold.files import plugin_text
from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.small_study import load, run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "executors.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
QUICK = (
    "declaration",
    "as many workers",
    "returns at once",
    "label",
    "word by word",
    "counted",
    "by themselves",
)


def test_the_page_s_executor_is_a_page_of_code_that_new_writes(tmp_path: Path) -> None:
    assert plugin_text("executor", "processes") == CODE
    assert len(CODE.splitlines()) < 120
    (tmp_path / "processes.py").write_text(CODE, encoding="utf-8")
    subject = subject_of(load_registry([tmp_path / "processes.py"]), "processes", {})
    items = [
        item for item in PROPERTIES if any(word in item.name for word in QUICK) and "stop" not in item.name
    ]
    found = [judge(item, subject) for item in items]
    assert len(found) >= 6 and [item for item in found if item.state != "ok"] == []


@pytest.mark.slow
def test_the_page_s_executor_runs_a_study_with_the_numbers_of_this_process(
    tmp_path: Path, one_thread: None
) -> None:
    loaded, plan = load(tmp_path, epochs=1)
    (tmp_path / "processes.py").write_text(CODE, encoding="utf-8")
    spec = tmp_path / "spec.yaml"
    spec.write_text(spec.read_text().replace("[plugin.py]", "[plugin.py, processes.py]"))
    command = next(line for line in PAGE.splitlines() if "--executor processes" in line)
    words = command.replace("specs/quickstart.yaml", str(spec)).replace(" --detach", "").split()[1:]
    done = call_bench(*words, "--store", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    there, here = Store(tmp_path / "results"), Store(tmp_path / "here", create=True)
    for job in plan.jobs:
        run(job, here, loaded.registry)
        assert there.result(job.digest).files == here.result(job.digest).files != {}
