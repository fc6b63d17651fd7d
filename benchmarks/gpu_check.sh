#!/usr/bin/env bash
# Everything that is to be known of one GPU, in one command of at most fourteen minutes.
#
#     benchmarks/gpu_check.sh [--dry] [FOLDER]
#
# Each phase runs in a process of its own under a time limit of its own and leaves FOLDER/PHASE.json (default
# folder: gpu-check); a phase that fails or is cut off leaves what it had and does not stop the next. --dry runs
# every phase on the CPU with the smallest sizes. PYTHON names the interpreter (default: .venv's, else python3);
# benchmarks/gpu_wheels.sh collects the packages that a machine without a package index lacks.
set -uo pipefail
cd "$(dirname "$0")/.."
dry=
if [ "${1:-}" = --dry ]; then dry=--dry; shift; fi
folder=${1:-gpu-check}
mkdir -p "$folder"
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
export PYTHONUNBUFFERED=1 NO_COLOR=1

# Phase and seconds; together 840, three times that on the CPU of a dry run.
phases=(environment:20 ranks:105 scan:50 repeat:60 loader:50 settings:70 networks:110 study:85 cost:135
  commands:155)
failed=0
for entry in "${phases[@]}"; do
  phase=${entry%:*} limit=${entry#*:}
  [ -z "$dry" ] || limit=$((limit * 3))
  start=$(date +%s)
  timeout --kill-after=5 "$limit" "$python" benchmarks/gpu_phases.py "$phase" $dry --out "$folder/$phase.json" \
    >"$folder/$phase.log" 2>&1
  code=$?
  printf '%-12s exit %d, %d of %d s\n' "$phase" "$code" "$(($(date +%s) - start))" "$limit"
  if [ "$code" -ne 0 ]; then
    failed=1
    tail -3 "$folder/$phase.log"
  fi
done
"$python" - "$folder" <<'PYTHON'
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
parts = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.stem != "all"}
(folder / "all.json").write_text(json.dumps(parts, indent=1) + "\n")
print(json.dumps(parts, indent=1))
PYTHON
exit "$failed"
