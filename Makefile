# Certflow's commands. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help install demo up test check bench bench-million chaos

help: ## list these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-13s %s\n", $$1, $$2 }'

install: $(INSTALLED) ## a .venv with exactly the dependencies of requirements.lock

demo: $(INSTALLED) ## the whole life of a certificate, on a sandbox, in about a minute
	@$(BIN)/python -m deployments demo

up: $(INSTALLED) ## the Prefect UI with all flows; a sandbox unless VAULT_ADDR is set
	@$(BIN)/python -m deployments up

# A task that is called without a server would start one of its own, silently: forbidden in tests.
test: $(INSTALLED) ## all tests
	PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false DO_NOT_TRACK=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(INSTALLED) ## ruff, mypy, import-linter, and whether the migrations agree with the tables
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && export CERTFLOW_DATABASE_URL="sqlite:///$$scratch/check.db" && \
	$(BIN)/alembic upgrade head && $(BIN)/alembic check

bench: $(INSTALLED) ## one table: today's client, what no client can beat, and Certflow; within ten minutes
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/run.py

bench-million: $(INSTALLED) ## the same for 1,000,000 orders and certificates, on SQLite and PostgreSQL
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/run.py --million

KILLS ?= 1000
DATABASE ?= sqlite
PREFECT ?= 30
REPORT ?= .chaos

# BREAK=claim, retry or key breaks the protocol on purpose: the audit must find it.
chaos: $(INSTALLED) ## orders under fire: KILLS=1000 PREFECT=30 SEED=.. DATABASE=sqlite or postgres BREAK=..
	@PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false DO_NOT_TRACK=1 $(BIN)/python tests/chaos --kills $(KILLS) --prefect $(PREFECT) --database $(DATABASE) --report $(REPORT) \
	$(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK))

# The stamp is older than the lock or this file whenever something has to be installed.
$(INSTALLED): requirements.lock Makefile
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 12) else "Certflow needs Python 3.11 or 3.12, and $(PYTHON) is %d.%d: say for example `make install PYTHON=python3.12`." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	@touch $@
