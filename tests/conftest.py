"""Settings of the whole suite: no test depends on the folder or the environment that it was started in."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from unittest import mock

import pytest
from hypothesis import settings

from tests.helpers.forks import survives_a_fork

if TYPE_CHECKING:
    from tests.helpers.verified_study import Finished

REPOSITORY = Path(__file__).resolve().parents[1]
_OF_THE_SCREEN = {"COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"}

# In CI the examples are the same every time: a run that fails there fails for a change, not by chance.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# All that is imported and collected stays: a million objects that each search for garbage would go through.
gc.disable()

for _name in list(os.environ):
    if _name.startswith(("SEGTRIAL_", "SEGBENCH_")) or _name in _OF_THE_SCREEN:
        del os.environ[_name]
# Hundreds of processes start in a run of the tests: each would compile the project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Two processes of tests that each compute on every core wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
# Processes that tests start find tests.helpers in every folder.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_flushes() -> Iterator[None]:
    """Leave writing to the disk to the system: no test's folder outlives a loss of power."""
    with mock.patch("os.fsync"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _installed_once() -> Iterator[None]:
    """Look for installed plugins, and at what they declare, once for thousands of registries."""
    from bench_core.plugins import wiring

    right: dict[int, object] = {}
    wrong_field = wiring.wrong_field

    def asked_once(declaration: object) -> str | None:
        if right.get(id(declaration)) is declaration:
            return None
        wrong = wrong_field(declaration)
        if wrong is None and len(right) < 200:
            right[id(declaration)] = declaration
        return wrong

    with (
        mock.patch.object(wiring, "entry_points", functools.cache(wiring.entry_points)),
        mock.patch.object(wiring, "wrong_field", asked_once),
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def _forked_workers() -> Iterator[None]:
    """Fork the workers of commands that are called in this process, which has imported what they would.

    Commands that tests start in processes of their own spawn them, as people's do. So do all where there is a
    GPU, and those of a process that has computed on several threads: a fork takes none of these along.
    """
    from bench_core.execute.local import LocalExecutor

    if sys.platform != "linux" or any(Path("/dev").glob("nvidia[0-9]*")):
        yield
        return
    build = LocalExecutor.__init__

    def forking(
        self: LocalExecutor,
        store: Path,
        devices: Sequence[str],
        start_method: Literal["spawn", "fork"] | None = None,
    ) -> None:
        build(self, store, devices, start_method or ("fork" if survives_a_fork() else "spawn"))

    with mock.patch.object(LocalExecutor, "__init__", forking):
        yield


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Work in an empty folder: commands look for `results` and write `reports` where they are started."""
    before, empty = Path.cwd(), tmp_path_factory.mktemp("elsewhere")
    os.chdir(empty)
    yield empty
    os.chdir(before)


@pytest.fixture(autouse=True)
def _nothing_left_behind(_elsewhere: Path) -> Iterator[None]:
    """Fail a test that writes into the working folder, since the next one would find it there."""
    yield
    found = [path.name for path in _elsewhere.iterdir()]
    assert not found, f"written into the working folder: {', '.join(found)}"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute from seed 0 on one CPU thread, where results are equal bit for bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def verified_study(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a finished study of 15 real jobs; whoever changes it changes it back, or a copy."""
    from tests.helpers.verified_study import finish

    return finish(tmp_path_factory.mktemp("verified"))
