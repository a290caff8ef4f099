# Few verbs: quickstart, test, check, study.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread per process: on small or busy machines more threads wait for each other.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: quickstart test check fix study clean

quickstart: $(VENV)/installed-run
	$(BIN)/hub-speed run quickstart

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

study: $(VENV)/installed-run
	$(BIN)/python scripts/study_quickstart.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: an index that has a CPU build then gives that one.
$(VENV)/installed-run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,space]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed-run
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,space,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
