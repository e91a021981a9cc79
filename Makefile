# make demo | test | bench | lint | docs. Each makes .venv first (once) and leaves the package installed in it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test bench lint docs docs-full clean
.DELETE_ON_ERROR:

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kronoscope needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,peers,cluster,test,lint,docs]'
	touch $@

demo: $(STAMP)
	$(BIN)/kronoscope demo --out demo-run --force

# The suite is many small computations, which threads that wait for each other slow down twofold.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

bench: $(STAMP)
	$(BIN)/python -m benchmarks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Outputs of cells are cached for each state of the library; docs-full executes all of them again.
docs: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python docs/build.py

docs-full: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python docs/build.py --full

clean:
	rm -rf .venv demo-run docs/_build docs/api
