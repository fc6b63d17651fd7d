"""The script for Slurm: what stands in it, that nothing leaves its line, and how a fleet is split."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.declarations import FleetRequest
from bench_core.errors import BenchError
from bench_core.execute.limits import seconds_until
from bench_core.options import complete_options
from bench_executors.slurm.commands import lacking
from bench_executors.slurm.declaration import SLURM
from bench_executors.slurm.fleet import arrays, attach, start
from bench_executors.slurm.script import script
from bench_executors.slurm.times import seconds_of

REQUEST = FleetRequest(
    name="study",
    store=Path("/store"),
    command=("python", "-m", "worker", "/a store/it's"),
    workers=4,
    devices=2,
    cores=3,
    memory=3 * 2**30 + 1,
    folder=Path("/logs/100% é 'x' \"y\""),
)


def options(**given: Any) -> dict[str, Any]:
    return complete_options(SLURM.options, given)


def directives(text: str) -> list[str]:
    """Return sbatch's options in a script as a shell would read them; sbatch's rules are the same."""
    lines = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    return [word for line in lines for word in shlex.split(line)]


def test_everything_that_is_asked_for_is_a_directive() -> None:
    said = directives(
        script(
            REQUEST,
            options(
                partition="gpu,long",
                account="lab 7",
                time="1-12",
                gpu_type="a100",
                constraint="[a&b]",
                directives=["--exclude=n7"],
            ),
            1000,
        )
    )
    assert {
        "--job-name=study",
        "--array=1-4",
        "--partition=gpu,long",
        "--account=lab 7",
        "--time=1-12",
        "--constraint=[a&b]",
        "--gres=gpu:a100:2",
        "--cpus-per-task=3",
        "--mem=3073M",
        "--requeue",
        "--signal=B:USR1@300",
        "--exclude=n7",
        "--output=/logs/100%% é 'x' \"y\"/%A_%a.log",
    } <= set(said)


def test_worker_stops_by_itself_before_the_time_limit() -> None:
    text = script(REQUEST, options(time="1:00:00", margin=600), 1000)
    assert "'/a store/it'\"'\"'s' --until 3000s &" in text
    assert "--until" not in script(REQUEST, options(), 1000)
    with pytest.raises(BenchError, match="nothing is left"):
        script(REQUEST, options(time="5"), 1000)
    with pytest.raises(BenchError, match="not a time limit"):
        script(REQUEST, options(time="4h"), 1000)


def test_script_is_one_that_bash_can_read() -> None:
    text = script(REQUEST, options(setup=["module load 'x y'"]), 1000)
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["partition", "account", "qos", "constraint", "memory"])
def test_no_option_leaves_its_line(name: str) -> None:
    with pytest.raises(BenchError) as caught:
        script(REQUEST, options(**{name: "a\n#SBATCH --uid=0"}), 1000)
    assert caught.value.fix


def test_no_item_of_a_list_leaves_its_line() -> None:
    for name in ("directives", "setup"):
        with pytest.raises(BenchError):
            script(REQUEST, options(**{name: ["a\nb"]}), 1000)


@pytest.mark.parametrize(
    ("name", "value"),
    [*((name, [item]) for name in ("setup", "directives") for item in (5, None, ["x"], {"a": 1}, True)),
     ("directives", [""]), ("directives", ["exclude=n7"]),
     ("partition", ""), ("memory", ""), ("gpu_type", "")],
)  # fmt: skip
def test_what_sbatch_could_not_read_is_refused_with_its_place(name: str, value: object) -> None:
    with pytest.raises(BenchError) as caught:
        script(REQUEST, options(**{name: value}), 1000)
    assert caught.value.fix and caught.value.place == f"runtime.executors.slurm.{name}"


@given(
    st.from_regex(r"[0-9]{1,4}-[0-9]{1,6}(:[0-9]{1,2}){0,2}", fullmatch=True).filter(
        lambda text: seconds_of(text) > 300
    )
)
def test_a_worker_takes_whatever_is_left_of_a_time_limit(time: str) -> None:
    command = re.search(r"--until (\S+)", script(REQUEST, options(time=time), 1000))
    assert command is not None
    assert seconds_until(command[1], datetime(2026, 1, 2)) == seconds_of(time) - 300


@pytest.mark.parametrize(
    "content", ["", "{}", "[5]", "[]", '["-x"]', '["5;rm x"]', '["٣"]', f'["{"5" * 99}"]', None]
)
def test_numbers_of_jobs_that_are_none_are_refused_with_their_place(
    content: str | None, tmp_path: Path
) -> None:
    if content is None:
        os.mkfifo(tmp_path / "jobs.json")
    else:
        (tmp_path / "jobs.json").write_text(content)
    with pytest.raises(BenchError, match="cannot be read") as caught:
        attach(tmp_path, options())
    assert caught.value.place == str(tmp_path / "jobs.json") and caught.value.fix


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30))
def test_a_value_comes_back_as_it_was_given(value: str) -> None:
    assert f"--account={value}" in directives(script(REQUEST, options(account=value), 1000))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 1200))
def test_arrays_hold_all_elements_and_no_more_run_at_once_than_asked(
    elements: int, at_once: int, largest: int
) -> None:
    sizes, caps = [], []
    for text in arrays(elements, at_once, largest):
        found = re.fullmatch(r"--array=1-(\d+)(?:%(\d+))?", text)
        assert found is not None
        sizes.append(int(found[1]))
        caps.append(min(int(found[2] or found[1]), sizes[-1]))
    assert sum(sizes) == elements
    assert max(sizes) <= largest
    assert sum(caps) <= max(at_once, len(sizes))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("4:00:00", 14400),
        ("1-12", 129600),
        ("1-0:30", 88200),
        ("2-1:02:03", 2 * 86400 + 3723),
    ],
)
def test_time_limits_are_read_as_slurm_does(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


def test_without_slurm_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sbatch" in lacking()
    with pytest.raises(BenchError, match="there is no sbatch") as caught:
        start(replace(REQUEST, folder=tmp_path), options())
    assert caught.value.fix
