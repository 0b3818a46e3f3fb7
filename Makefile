# The only door: every task of a developer, of CI and of a first-time user starts here.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow year lint bench reference lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

# The lock file is whole, so nothing is left to a resolver: pip's would look past it for `pydantic[email]`.
$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Skolebro needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

setup: $(STAMP)  ## make the virtual environment with everything that is needed

run: setup  ## a made-up municipality, a learning platform, an Aula stand-in and the bridge between them
	@$(BIN)/skolebro simulate demo

test: setup  ## the everyday test suite
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow" --durations=8

test-slow: setup  ## the long harnesses
	$(BIN)/python -m pytest -n $(JOBS) -m "slow and not year"

year: setup  ## a year of a large municipality in some minutes: rolls, moves, an empty night, a lost agreement
	$(BIN)/python -m pytest -n 0 -s -m year
	$(BIN)/python -m tests.year --pupils 1500

lint: setup  ## style, types and the floors of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup  ## speed, as ratios against the bare work in the same run
	$(BIN)/python -m benchmarks

reference: setup  ## write docs/reference anew from the code
	$(BIN)/python -m bridge.engine.asyncapi > docs/reference/asyncapi.json

lock: setup  ## write the lock files anew from requirements/*.in (needs uv on the PATH)
	for name in runtime dev; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header requirements/$$name.in -o requirements/$$name.txt; done

clean:  ## remove what the targets above made
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
