"""The configuration of an emulated Slurm cluster: two nodes that are processes of one machine.

What differs from a real one: no cgroups, no accounting, pretend GPUs, short waits. `cred_expire` decides how
long a requeued job waits, `SlurmdTimeout` when a silent node counts as lost (man slurm.conf).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
CPUS = 8
"""Of each node, whatever the machine has: tiny jobs share its cores."""
PRETEND_GPUS = ("/dev/null", "/dev/zero")
LARGEST_ARRAY = 101
"""MaxArraySize: the largest index is one less."""


def write_configuration(folder: Path, nodes: Sequence[str]) -> Path:
    """Write slurm.conf, gres.conf and cgroup.conf and return the first one's path."""
    control, *ports = free_ports(1 + len(nodes))
    lines = [
        "ClusterName=emulated",
        f"SlurmctldHost={socket.gethostname()}(127.0.0.1)",
        f"SlurmctldPort={control}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/munge/socket,cred_expire=5",
        f"StateSaveLocation={folder}/state",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdSpoolDir={folder}/spool.%n",
        f"SlurmdPidFile={folder}/slurmd.%n.pid",
        f"SlurmdLogFile={folder}/slurmd.%n.log",
        "SlurmdParameters=config_overrides",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SwitchType=switch/none",
        "MpiDefault=none",
        "MailProg=/bin/true",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "ReturnToService=2",
        "SlurmdTimeout=10",
        "KillWait=5",
        f"MaxArraySize={LARGEST_ARRAY}",
        "GresTypes=gpu",
    ]
    for node, port in zip(nodes, ports, strict=True):
        lines.append(
            f"NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS}"
            f" RealMemory=16000 Gres=gpu:{len(PRETEND_GPUS)} State=UNKNOWN"
        )
    every = f"Nodes={','.join(nodes)} MaxTime=INFINITE State=UP"
    lines += [
        f"PartitionName=work {every} Default=YES PriorityTier=1 GraceTime=20 LLN=YES",
        f"PartitionName=urgent {every} PriorityTier=10 PreemptMode=OFF",
    ]
    gres = [f"NodeName={node} Name=gpu File={device}" for node in nodes for device in PRETEND_GPUS]
    (folder / "gres.conf").write_text("".join(f"{line}\n" for line in gres))
    # Nothing here uses cgroups, which a container may lack; 22.05 looks for them unless a version is named.
    plugin = "disabled" if version() >= (23, 11) else "cgroup/v1"
    (folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")
    path = folder / "slurm.conf"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def version() -> tuple[int, int]:
    """Return slurmd's version, as (22, 5)."""
    program = shutil.which("slurmd", path=PATH) or "slurmd"
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stdout
    year, month, *_ = said.split()[-1].split(".")
    return int(year), int(month)


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens; all are held until each is chosen, so that no two are equal."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
    finally:
        for item in sockets:
            item.close()
