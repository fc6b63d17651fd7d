"""An emulated cluster for the tests of this folder, one for each process of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, ClusterError, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return a running cluster; skips, with the reason, where none can be emulated."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no emulated Slurm cluster: {reason}")
    cluster = Cluster()
    try:
        try:
            cluster.start()
        except ClusterError as error:
            pytest.skip(f"Slurm's daemons do not start here: {error}")
        yield cluster
    finally:
        cluster.stop()
