#!/usr/bin/env bash
# Installs what an emulated Slurm cluster needs (root, Debian or Ubuntu, a package index that answers).
# Otherwise it says why the tests on it will be skipped. It ends with 0 either way.
set -u

skipped() {
  echo "Slurm tests will be skipped: $1"
  exit 0
}

have() {
  for program in munged slurmctld slurmd sbatch squeue scancel scontrol sinfo faketime; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || return 1
  done
}

[ "$(id -u)" = 0 ] || skipped "an emulated cluster needs root"
have && exit 0
command -v apt-get >/dev/null || skipped "slurm-wlm and munge are not installed, and there is no apt-get"
quiet=(-qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o DPkg::Lock::Timeout=60)
export DEBIAN_FRONTEND=noninteractive
timeout 300 apt-get "${quiet[@]}" update >/dev/null 2>&1 || skipped "no package index answers (apt-get update)"
# The daemons are started by the tests alone, with configurations of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT
fi
timeout 600 apt-get "${quiet[@]}" install -y --no-install-recommends \
  slurm-wlm slurmctld slurmd slurm-client munge faketime >/dev/null 2>&1 || skipped "apt-get install slurm-wlm munge failed"
have || skipped "slurm-wlm is installed, but some of its programs are not found"
echo "Slurm is installed: $(PATH="$PATH:/usr/sbin" slurmd -V)"
