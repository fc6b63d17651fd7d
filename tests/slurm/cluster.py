"""An emulated Slurm cluster for tests: munge, a controller and two nodes on this machine, as root.

Each cluster has a folder, ports, a munge socket and a configuration of its own, so that several test runs do
not meet. Where the system allows it, each node has a process namespace and a host name of its own: then
workers on different nodes cannot look each other's processes up, as on real machines, and a node dies at once
with all that runs on it. `guard.py` ends the cluster, also when the test process was killed.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.slurm.configuration import PATH, write_configuration
from tests.slurm.guard import members

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
PATIENCE_SECONDS = 30.0
DISK_BYTES = 256 * 2**20
_MARK = "EMULATED_NODE"
_REAP = '"$@" & wait "$!"'
"""A shell as first process of a node's namespace: it also reaps what its children leave behind."""


class ClusterError(Exception):
    """The cluster does not start or does not do what it was asked; the text holds the daemons' last words."""


def why_not() -> str | None:
    """Return why no cluster can be emulated here, None if it can be tried."""
    if not sys.platform.startswith("linux"):
        return "Slurm needs Linux"
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install slurm-wlm slurmctld slurmd munge"
    if os.geteuid() != 0:
        return "an emulated Slurm cluster needs root"
    try:
        pwd.getpwnam("munge")
    except KeyError:
        return "there is no user munge, as which munged runs: apt-get install munge"
    return None


class Cluster:
    """A running cluster; `environment` makes Slurm's commands talk to it."""

    def __init__(self) -> None:
        # Not in pytest's folder, which the user munge must not enter; a socket's path is short, too.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.disk = self.folder / "disk"
        """A file system of its own, where that can be mounted: full or read-only, it harms nobody else."""
        self.mounted = False
        self._read_only = self.folder / "read-only"
        """The same disk, read-only, where nobody works."""
        self.environment: dict[str, str] = {**os.environ, "PATH": PATH}
        self.namespaces = _namespaces()
        """Whether nodes have process namespaces and host names of their own."""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("guard.py")), str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start(self) -> None:
        """Start all daemons and wait until both nodes take jobs; raises ClusterError."""
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir()
        self.disk.mkdir()
        # Before the nodes start, whose view of the mounts is their own from then on.
        size = f"size={DISK_BYTES}"
        self.mounted = _succeeds("mount", "-t", "tmpfs", "-o", size, "emulated", str(self.disk))
        if self.mounted:
            self._read_only.mkdir()
            self.call("mount", "--bind", self.disk, self._read_only)
            self.call("mount", "-o", "remount,bind,ro", self._read_only)
        configuration = write_configuration(self.folder, NODES)
        self.environment |= {"SLURM_CONF": str(configuration)}
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait(lambda: self.states() == dict.fromkeys(NODES, "idle"), "its nodes to be idle")

    def start_controller(self) -> None:
        """Start slurmctld, which keeps what it knew of jobs."""
        self._spawn("slurmctld", "slurmctld", "-D")

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        command = ["slurmd", "-D", "-N", node]
        if self.namespaces:
            apart = ["unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child"]
            command = [*apart, "sh", "-c", f"hostname {node}; {_REAP}", "node", *command]
        self._spawn(node, *command, **{_MARK: node})

    def kill_node(self, node: str) -> None:
        """End a node as a power failure does: its slurmd and all that runs on it."""
        first = self._first(node) if self.namespaces else None
        process = self._processes.pop(node)
        if first is not None:
            # The first process of a namespace takes all others with it.
            os.kill(first, signal.SIGKILL)
        else:
            # The node's own processes first: none of them must tell how its jobs ended.
            for mark in (f"{_MARK}={node}", f"SLURMD_NODENAME={node}"):
                for number in members(self.folder, mark):
                    with suppress(OSError):
                        os.kill(number, signal.SIGKILL)
        process.wait(10)

    def make_disk_read_only(self, read_only: bool) -> None:
        """Let every new access to the disk see it read-only, or as before; raises ClusterError."""
        inside: list[list[str]] = [[]]
        if self.namespaces:
            # With its process namespace, too, for which the mounted /proc is made.
            enter = ["nsenter", "--mount", "--pid"]
            inside += [[*enter, f"--target={self._first(node)}", "--"] for node in NODES]
        disk = str(self.disk)
        for way in inside:
            if read_only:
                # On top and read-only at once: what has files that are open for writing cannot be changed.
                self.call(*way, "mount", "--bind", self._read_only, disk)
            else:
                self.call(*way, "umount", "--lazy", disk)

    def states(self) -> dict[str, str]:
        """Return what the controller says of each node, as "idle"."""
        said = self.call("sinfo", "-h", "-N", "-p", "work", "-o", "%N %T", check=False)
        return dict(line.split() for line in said.splitlines() if len(line.split()) == 2)

    def call(self, *command: str | Path, check: bool = True, **variables: str) -> str:
        """Run a command with the cluster's environment and return its output; raises ClusterError."""
        done = subprocess.run(
            [str(word) for word in command],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and done.returncode != 0:
            raise ClusterError(f"{command[0]} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of each job and array element in the queue."""
        said = self.call("squeue", "-h", "-r", "-o", "%i %T")
        return dict(line.split() for line in said.splitlines())

    def processes(self, *words: str) -> list[int]:
        """Return the ids of the cluster's processes whose command line holds all these words."""
        found = []
        for number in members(self.folder):
            with suppress(OSError):
                line = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if all(word in line for word in words):
                    found.append(number)
        return sorted(found)

    def wait(self, true: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something holds; raises ClusterError with the daemons' last words if it never does."""
        until = time.monotonic() + seconds
        while not true():
            ended = {name: item.poll() for name, item in self._processes.items() if item.poll() is not None}
            if time.monotonic() > until or ended:
                why = f"{ended} ended" if ended else f"waited {seconds:g} s"
                raise ClusterError(f"waiting for {what}: {why}\n{self.last_words()}")
            time.sleep(0.1)

    def last_words(self) -> str:
        """Return the end of each daemon's log."""
        logs = sorted({*self.folder.glob("*.log"), *self.folder.glob("*.out")})
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-1500:]}" for path in logs)

    def stop(self) -> None:
        """End all of it and remove its folder."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(60)
        for process in self._processes.values():
            process.wait(10)

    def _first(self, node: str) -> int:
        """Return the id of the first process of a node's namespaces."""
        number = self._processes[node].pid
        return int(Path(f"/proc/{number}/task/{number}/children").read_text().split()[0])

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        user = pwd.getpwnam("munge")
        for path in (folder, key):
            os.chown(path, user.pw_uid, user.pw_gid)
        files = [f"--{name}-file={folder}/{name}" for name in ("key", "pid", "seed", "log")]
        self._spawn("munged", "munged", "-F", f"--socket={folder}/socket", *files, user="munge")
        self.wait((folder / "socket").exists, "munge's socket")

    def _spawn(self, name: str, *command: str, user: str | None = None, **variables: str) -> None:
        group = None if user is None else pwd.getpwnam(user).pw_gid
        with (self.folder / f"{name}.out").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                command,
                env={**self.environment, **variables},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster while the block runs; raises ClusterError where it does not start."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _namespaces() -> bool:
    return _succeeds("unshare", "--pid", "--fork", "--mount-proc", "--uts", "--kill-child", "true")


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
