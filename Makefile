# run    install into .venv and serve, ready to paste a curl
# test   everything CI runs: check, then the whole suite with a real Redis
# check  lint, format and types
# fuzz   the properties of the gate, twenty thousand bodies each
# bench  what the gate and the proxy cost, as ratios in one run
# lock   compile the lock files anew from pyproject.toml

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check fuzz bench lock tools clean

run: .venv/run
	@exec $(BIN)/dashscope-proxy serve --demo

test: check tools
	$(BIN)/python -m pytest $(ARGS)

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: .venv/dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/core $(ARGS)

bench: .venv/dev
	$(BIN)/python -m bench

lock: .venv/dev
	for each in "requirements.lock" "--group=dev requirements-dev.lock"; do \
	  set -- $$each; out=$${2:-$$1}; [ $$# = 2 ] && group=$$1 || group=; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header $$group pyproject.toml --output-file $$out; \
	done

# What the tests run besides Python: a real redis-server, curl, node, systemd-analyze.
tools:
	@.ci/tools

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Hashes are required and nothing is built in isolation: what runs is what the lock says.
# The build backend is in the development lock only, so `run` takes it from there.
.venv/run: pyproject.toml requirements.lock | .venv/bin/python
	$(PIP) install --require-hashes -r requirements.lock
	@$(MAKE) --no-print-directory .venv/package
	@touch $@

.venv/dev: pyproject.toml requirements-dev.lock | .venv/bin/python
	$(PIP) install --require-hashes -r requirements-dev.lock
	@$(MAKE) --no-print-directory .venv/package
	@touch $@ .venv/run

.venv/package: pyproject.toml requirements-dev.lock
	@awk '/^(hatchling|editables|packaging|pathspec|pluggy|trove-classifiers)==/ {keep = 1} \
	  keep {print} !/\\$$/ {keep = 0}' requirements-dev.lock > .venv/backend.lock
	$(PIP) install --require-hashes -r .venv/backend.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
