# Everything a person or CI asks of this repository. `make` alone lists it.
# Only Python 3.11+ and make are needed; `.venv` is made by the first target that wants it.

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Python keeps what it has compiled: else each of the hundreds of processes that the suites start would compile it all again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-runtime up demo test test-all services bench lint format lock clean

help: ## list these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv with everything that development and tests need
	@$(call environment,dev)

setup-runtime:
	@$(call environment,runtime)

up: setup-runtime ## start Nervio on this machine: http://127.0.0.1:8080 (ARGS="--port 8090" to change things)
	@$(BIN)/nervio up $(ARGS)

demo: setup-runtime ## replay a year of real trading and check every invariant (ARGS="--json")
	@$(BIN)/nervio demo $(ARGS)

# Two at a time, a file to each, so that tests that load a database stay by themselves. `ARGS="-n 0"` runs them in one process.
PARALLEL := -n 2 --dist loadfile

test: setup ## the suite on SQLite and embedded adapters; needs nothing else installed (slow proofs and browsers: test-all)
	$(BIN)/python -m pytest $(PARALLEL) -m "not services and not slow and not browser" $(ARGS)

test-all: setup services lint ## lint, types, and the suite on real PostgreSQL, Redis, NATS, MQTT and MariaDB too
	@set -a; [ ! -f .services.env ] || . ./.services.env; set +a; \
	echo "$(BIN)/python -m pytest $(PARALLEL) $(ARGS)"; exec $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

services: ## start the services that test-all uses (root on Debian: install them too)
	@scripts/install-services.sh

bench: setup ## measure every figure beside its peers; writes docs/benchmarks.md
	$(BIN)/python -m bench all $(ARGS)

lint: setup ## ruff, mypy strict and the architecture contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## let ruff format the code and mend what it safely can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## resolve the dependencies again (ARGS=--upgrade for newer versions)
	@$(call environment,lock $(ARGS))

clean: ## remove .venv, caches and builds; never a shop's data
	rm -rf .venv build dist workers/*/build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .services.env
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

define environment
command -v $(PYTHON) >/dev/null 2>&1 || { \
	echo "[nervio] Python 3.11 or newer is needed (Debian 12 or newer: apt install python3 python3-venv)"; exit 1; }; \
$(PYTHON) scripts/environment.py $(1)
endef
