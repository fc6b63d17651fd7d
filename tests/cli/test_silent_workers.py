"""What `bench status` says of a job whose worker gives no sign of life."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.processes.liveness import machine_identity, process_start
from bench_core.store.store import Store
from tests.helpers.small_study import load

LEASE_SECONDS = 60


def leave_claim(store: Store, digest: str, silent_seconds: float, *, here: bool) -> None:
    """Leave the claim of a worker, of this process or of one elsewhere, that beat so long ago."""
    folder = store.claims / digest
    folder.mkdir()
    owner = {
        "host": "node-7",
        "machine": machine_identity() if here else "another machine",
        "pid": os.getpid() if here else 4321,
        "process_start": process_start(os.getpid()),
        "started": "2026-11-27T10:00:00+00:00",
        "token": "t",
        "lease": LEASE_SECONDS,
    }
    (folder / "owner.json").write_text(json.dumps(owner))
    (folder / "beat").write_text(f"{7:020d}")
    os.utime(folder / "beat", (time.time() - silent_seconds,) * 2)


@pytest.mark.parametrize(
    ("silent_seconds", "here", "said"),
    [
        (LEASE_SECONDS / 2, False, ""),
        (LEASE_SECONDS * 1.5, False, "90 s"),
        (3 * 3600, False, "180 min"),
        # A process of this machine is looked up, however long it has been silent.
        (3 * 3600, True, ""),
    ],
)
def test_a_silent_worker_elsewhere_is_told_with_what_becomes_of_its_job(
    tmp_path: Path, silent_seconds: float, here: bool, said: str
) -> None:
    _, plan = load(tmp_path / "spec", epochs=1)
    store, job = Store(tmp_path / "results", create=True), plan.jobs[0]
    leave_claim(store, job.digest, silent_seconds, here=here)
    arguments = ["status", str(tmp_path / "spec" / "spec.yaml"), "--store", str(store.path)]

    def call(*more: str) -> str:
        done = CliRunner().invoke(bench, [*arguments, *more])
        assert done.exit_code == 0, done.output
        return done.output

    pid = os.getpid() if here else 4321
    # A beat is read to the second on some file systems.
    text = " ".join(call().split()).replace("for 91 s", "for 90 s")
    first = f"running: {job.name}, process {pid} on node-7 since 2026-11-27T10:00:00+00:00"
    rest = f"; no sign of life for {said}: `bench run` takes it over after a while"
    assert first + (rest if said else "") in text
    assert ("no sign of life" in text) == bool(said)
    running: Any = json.loads(call("--json"))["jobs"][0]["running"]
    assert running["host"] == "node-7" and running["pid"] == pid
    if here:
        assert running["silent_seconds"] is None
    else:
        assert silent_seconds - 2 < running["silent_seconds"] < silent_seconds + 60
