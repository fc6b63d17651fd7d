"""What a run may ask of its machine: affinity, containers' limits and memory count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench_core.cli.main import bench
from bench_core.execute.machine import (
    PLENTY,
    Machine,
    OversubscribedError,
    check_load,
    choose_loaders,
    most_workers,
)
from tests.helpers.small_study import write_spec

GIB = 2**30
SMALL = Machine(cores=2, memory=20 * GIB)


def system(root: Path, files: dict[str, str]) -> Path:
    """Write a /proc and /sys as a container shows them."""
    for name, text in {"proc/meminfo": "MemFree: 1 kB\nMemAvailable:  8388608 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_the_system_tells(tmp_path: Path) -> None:
    found = Machine.here(system(tmp_path, {"proc/self/cgroup": "0::/\n"}))
    assert found.memory == 8 * GIB and found.cores >= 1
    assert Machine.here(tmp_path / "nothing here").memory == PLENTY


@pytest.mark.parametrize("folder", ["", "/a", "/a/b"], ids=["the top", "above", "its own"])
def test_a_limit_of_the_second_version_counts_wherever_it_is_set(tmp_path: Path, folder: str) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"sys/fs/cgroup{folder}/memory.max": f"{4 * GIB}\n",
            f"sys/fs/cgroup{folder}/memory.current": f"{3 * GIB}\n",
            f"sys/fs/cgroup{folder}/memory.stat": f"anon 5\ninactive_file {2 * GIB}\n",
            f"sys/fs/cgroup{folder}/cpu.max": "100000 100000\n",
        },
    )
    assert Machine.here(root) == Machine(cores=1, memory=3 * GIB)


def test_no_limit_of_the_second_version(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.current": "5\n",
            "sys/fs/cgroup/a/cpu.max": "max 100000\n",
        },
    )
    assert Machine.here(root).memory == 8 * GIB


def test_limits_of_the_first_version(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/pod\n3:cpu,cpuacct:/pod\n0::/\n",
            "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/pod/memory.usage_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us": "100000\n",
        },
    )
    assert Machine.here(root) == Machine(cores=1, memory=GIB)


@pytest.mark.parametrize(
    ("workers", "threads", "loaders"), [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 4), (2, 1, 2), (1, 2, 2)]
)
def test_what_fits_is_run(workers: int, threads: int, loaders: int) -> None:
    check_load(SMALL, workers, threads, loaders)


@pytest.mark.parametrize(
    ("workers", "threads", "loaders", "said"),
    [
        (3, 1, 0, "3 worker(s) x 1 thread(s) = 3 busy threads"),
        (1, 64, 0, "1 worker(s) x 64 thread(s)"),
        (2, 2, 0, "= 4 busy threads"),
        (8, 1, 17, "8 worker(s) x 17 loader_workers = 136 loader processes"),
        (1, 1, 500, "500 loader processes"),
    ],
)
def test_what_exceeds_the_machine_is_refused_with_its_numbers(
    workers: int, threads: int, loaders: int, said: str
) -> None:
    with pytest.raises(OversubscribedError) as caught:
        check_load(SMALL, workers, threads, loaders)
    assert said in str(caught.value.cause) and "there are 2 core(s) and 20.0 GiB" in str(caught.value.cause)
    assert "--oversubscribe" in str(caught.value.fix)


def test_memory_alone_refuses_several_jobs_and_never_a_single_one() -> None:
    poor = Machine(cores=64, memory=GIB)
    check_load(poor, 1, 1, 0)
    with pytest.raises(OversubscribedError, match="more than this machine has") as caught:
        check_load(poor, 8, 1, 0)
    assert "12.0 GiB" in str(caught.value.cause)


@given(st.integers(1, 256), st.integers(0, 2**40), st.integers(1, 64))
def test_what_is_chosen_by_itself_is_never_refused(cores: int, memory: int, threads: int) -> None:
    machine = Machine(cores, memory)
    threads = min(threads, cores)
    check_load(machine, most_workers(machine, threads, 0), threads, 0)


@pytest.mark.parametrize(
    ("cores", "devices", "threads", "expected"),
    [
        (16, ["cuda:0"], 1, 8),
        (16, ["cuda:0", "cuda:1"], 1, 7),
        (16, ["cuda:0"] * 4, 2, 2),
        (4, ["cuda:0"], 1, 3),
        (2, ["cuda:0"], 1, 1),
        (1, ["cuda:0"], 1, 0),
        (8, ["cuda:0"] * 9, 1, 0),
        (64, ["cpu"], 1, 0),
        (64, ["mps"], 1, 0),
    ],
)
def test_a_gpus_jobs_share_the_cores_for_their_loaders(
    cores: int, devices: list[str], threads: int, expected: int
) -> None:
    assert choose_loaders("auto", Machine(cores, PLENTY), devices, threads) == expected
    assert choose_loaders(3, Machine(cores, PLENTY), devices, threads) == 3


def test_loaders_that_memory_does_not_carry_are_not_chosen() -> None:
    assert choose_loaders("auto", Machine(16, 2 * GIB), ["cuda:0"], 1) == 2
    assert choose_loaders("auto", Machine(16, GIB), ["cuda:0"], 1) == 0


@given(st.integers(1, 256), st.integers(0, 2**40), st.integers(1, 64), st.integers(1, 16))
def test_loaders_that_are_chosen_are_never_refused(cores: int, memory: int, threads: int, jobs: int) -> None:
    chosen = choose_loaders("auto", Machine(cores, memory), ["cuda:0"] * jobs, threads)
    assert chosen == 0 or jobs * (chosen + threads) <= cores
    machine = Machine(max(cores, jobs * threads), max(memory, jobs * 3 * 2**29))
    check_load(machine, jobs, threads, chosen)


@pytest.mark.slow
def test_run_refuses_and_can_be_told_to_run_nevertheless(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, epochs=1)
    command = ["run", str(spec), "--store", str(tmp_path / "r"), "--device", "cpu", "--only", "fold=0"]
    refused = CliRunner().invoke(bench, [*command, "--threads", "1000"])
    assert isinstance(refused.exception, OversubscribedError) and not (tmp_path / "r").exists()
    assert refused.exception.exit_code == 2
    loaders = [*command, "--set", "runtime.loader_workers=1000"]
    assert isinstance(CliRunner().invoke(bench, loaders).exception, OversubscribedError)
    done = CliRunner().invoke(
        bench, [*command, "--threads", str(2 * (os.cpu_count() or 1)), "--oversubscribe"]
    )
    assert done.exit_code == 0, done.output
