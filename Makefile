# make demo: train, evaluate, report; FRESH=1 starts over.
# make test: the tests but the slow ones; make test-all: every test; JOBS=4 at a time.
# make lint: format and lint checks. make docs: pages of the API, in site/.
# Each sets up .venv by itself, with PYTHON=python3.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
JOBS ?= 2
# Large pages for what XLA computes with: a quarter less time a step on a CPU (glibc 2.35+).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: demo test test-all lint docs clean

demo: $(VENV)/installed-train
	$(if $(filter 1,$(FRESH)),rm -rf $(DEMO))
	$(BIN)/python -m repr_jax.main \
	  --config=configs/multimodal/mopoe_polymnist_demo.py --workdir=$(DEMO)

test: $(VENV)/installed-test
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'not slow'

test-all: $(VENV)/installed-test
	$(BIN)/pytest -n $(JOBS) --dist worksteal

lint: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

docs: $(VENV)/installed-docs
	$(BIN)/python .ci/docs.py site

clean:
	rm -rf $(VENV) runs site

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit( \
	  None if sys.version_info >= (3, 11) else \
	  f"make: expected Python 3.11 or newer; got {v}; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
