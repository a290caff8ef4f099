# Few verbs: quickstart, test, check, docs, study.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Python compiles a module when it is first imported; pip would compile all of them. Where Python must not keep what it
# has compiled, as in many containers, each of the many processes would compile torch again.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
export TOKENIZERS_PARALLELISM := false

.PHONY: quickstart test check fix docs study clean

quickstart: $(VENV)/installed-run
	$(BIN)/hub-speed run quickstart

test: $(VENV)/installed-test
	$(BIN)/python -m pytest --durations=25 $(TESTS)

check: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

study: $(VENV)/installed-run
	$(BIN)/hub-speed study quickstart --set embedder.rows=1000 \
	  --set 'scaling.sizes=[150,300,600,1200,2400]' --set 'scaling.rng_seeds=[0,1,2,3,4]' \
	  --vary embedder.data=seed,synthesize --vary embedder.loss_temperature=0.02,0.1 --vary embedder.batching=mixed \
	  --vary senior.dpo_beta=0.05,0.3 --vary synthesize.generator=junior \
	  --seeds 3 --scaling --out docs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch is pinned: an index that has a CPU build then gives that one. Two calls of pip would look for everything twice.
$(VENV)/installed-run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[train,space]'
	touch $@

$(VENV)/installed-test: $(VENV)/installed-run
	$(INSTALL) -e '.[train,documents,export,space,dev]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed-test
	$(INSTALL) -e '.[train,documents,export,space,dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
