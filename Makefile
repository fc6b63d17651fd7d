# `make quickstart` and `make test` each start from a bare machine with git, make and Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STORE ?= results
REPORTS ?= reports
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

# Hundreds of processes start in a run of the tests: each would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart smoke test test-slow slurm check benchmarks clean

quickstart: $(VENV)/.installed-torch,mmseg
	$(BIN)/bench run specs/quickstart.yaml --store $(STORE)
	$(BIN)/bench report specs/quickstart.yaml --store $(STORE) --out $(REPORTS)/quickstart

smoke: $(VENV)/.installed-torch,mmseg
	$(BIN)/bench run specs/smoke.yaml --store $(STORE)
	$(BIN)/bench report specs/smoke.yaml --store $(STORE) --out $(REPORTS)/smoke

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow -rs -n 2 --dist worksteal

# Packages of the system for the tests on an emulated Slurm cluster; without them these are skipped.
slurm:
	tests/slurm/install.sh

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/lint-imports
	$(BIN)/bench validate specs/*.yaml

benchmarks: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/overhead.py --runner all
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/plan.py
	$(BIN)/python benchmarks/cluster.py --jobs 20000 --workers 10 100
	$(BIN)/python benchmarks/scan.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/maps.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[$*]'
	# MMSegmentation asks for opencv-python, which needs a display's libraries; this has the same module without.
	$(PIP) --force-reinstall --no-deps opencv-python-headless
	touch $@

clean:
	rm -rf $(VENV) build dist
