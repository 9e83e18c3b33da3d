# run         install into .venv and serve, ready to paste a curl
# test        everything CI runs: check, then the whole suite with a real Redis
# check       lint, format and types
# conformance every operation by every client, directly and through the proxy, compared
# settled     five thousand tasks over replicas that die: one record each, to the cent
# fuzz        the properties of the gate, twenty thousand bodies each
# bench       what the proxy costs beside nginx, HAProxy, Caddy: a table of targets, and JSON
# profile     a flame graph of the proxy under load: profile.svg
# soak        300 streams for two minutes: memory, delay, chunks
# lock        compile the lock files anew from pyproject.toml

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check conformance settled fuzz bench profile soak lock tools bench-tools clean

run: .venv/run
	@exec $(BIN)/dashscope-proxy serve --demo

# Most tests wait for sockets, so several run at a time; what measures runs alone, afterwards.
test: check tools bench-tools
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  -m 'not alone'
	$(BIN)/python -m pytest -m alone
endif

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

conformance: .venv/dev tools
	$(BIN)/python -m pytest tests/conformance $(ARGS)

settled: .venv/dev tools
	$(BIN)/python -m pytest tests/system/test_exactly_once.py $(ARGS)

fuzz: .venv/dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/core $(ARGS)

bench: .venv/dev bench-tools
	$(BIN)/python -m bench $(ARGS)

profile: .venv/dev bench-tools
	$(BIN)/python -m bench.flame

soak: .venv/dev
	$(BIN)/python -m bench.soak

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header pyproject.toml

lock: .venv/dev
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --group dev --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --group build --output-file requirements-build.lock

# What the tests run besides Python: a real redis-server, curl, node, systemd-analyze.
tools:
	@.ci/tools

# What is measured beside the proxy: nginx, HAProxy, Caddy; and wrk, which asks.
bench-tools:
	@.ci/bench-tools

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Hashes are required and nothing is built in isolation: what runs is what the locks say.
.venv/run: pyproject.toml requirements.lock requirements-build.lock | .venv/bin/python
	$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: pyproject.toml requirements-dev.lock | .venv/bin/python
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ .venv/run
