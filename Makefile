# The only door: every task of a developer, of CI and of a first-time user starts here.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TOOLS  := build/deploy-tools
JOBS   ?= 4
ON_STORES = $(shell grep -lE "support[.](engine|stores)" tests/unit/test_*.py tests/matrix/test_*.py)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-stores crew test-slow year lint deploy-check deploy-manifests bench reference contracts lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

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

# What stands on the store is tested on each of them; `make test` has done so in memory.
test-stores: setup  ## the engine's tests on SQLite and on PostgreSQL
	SKOLEBRO_TEST_STORE=sqlite $(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(ON_STORES)
	SKOLEBRO_TEST_STORE=postgresql $(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(ON_STORES)

crew: setup  ## five minutes in which processes that share a database are killed at random
	SKOLEBRO_TEST_CREW_SECONDS=300 $(BIN)/python -m pytest -n 0 -s -m crew tests/e2e/test_many_processes.py

test-slow: setup  ## the long harnesses
	$(BIN)/python -m pytest -n $(JOBS) -m "slow and not year and not crew"

year: setup  ## a year of a large municipality in some minutes: rolls, moves, an empty night, a lost agreement
	$(BIN)/python -m pytest -n 0 -s -m year
	$(BIN)/python -m tests.year --pupils 1500

lint: setup  ## style, types and the floors of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(TOOLS)/.installed: requirements/deploy.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/deploy.txt
	@touch $@

deploy-check: $(TOOLS)/.installed  ## deploy/ against helm, hadolint, docker compose, systemd-analyze and promtool
	$(TOOLS)/bin/python deploy/check.py

deploy-manifests: $(TOOLS)/.installed  ## write deploy/kubernetes/ anew from the chart
	$(TOOLS)/bin/python deploy/check.py --write

bench: setup  ## speed, as ratios against the bare work in the same run
	$(BIN)/python -m benchmarks

reference: setup  ## write docs/reference anew from the code
	$(BIN)/python -m bridge.engine.asyncapi > docs/reference/asyncapi.json
	$(BIN)/python -m bridge.web.vendor_api > docs/reference/openapi.json

contracts: reference  ## with a release only: what is promised from now on (a test refuses what would break it)
	cp docs/reference/*.json docs/reference/released/

lock: setup  ## write the lock files anew from requirements/*.in (needs uv on the PATH)
	for name in build runtime dev deploy; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header requirements/$$name.in -o requirements/$$name.txt; done

clean:  ## remove what the targets above made
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
