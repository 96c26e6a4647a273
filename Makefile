# make demo [ONCE=1]   a dozen books imported live; no key, no network
# make test            the tests, with what they need
# make test-slow       those that take up to a minute: rehearsals, a short soak, several processes,
#                      the tests in a copy without the legacy importer
# make test-without-legacy   the same in a copy whose legacy importer is deleted
# make check           style and types
# make loc-report      what logic the workflow made unnecessary, counted
# make worker          the Cloudflare Worker, built; its bench installed (needs npm)
# make worker-dev      the Worker on this machine, with the sandbox behind it, until Ctrl-C
# make worker-check    its tests on Cloudflare's own runtime and engine, and what would be deployed
# make worker-check-slow   300 imports on it, and the runtime killed amid them; some minutes
# make serve           the server, on the settings of the environment and .env
# make clean           all that make made; your data stays
#
# Needs Python 3.11 or newer, named by PYTHON. Everything goes into .venv.

PYTHON ?= python3
# More workers than cores: many tests wait for processes, not for the processor.
JOBS ?= 4
BIN := .venv/bin
# The tests start hundreds of processes: compile for the first, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE
# Without compiling all of it: what is imported is compiled then, most is never.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PINS := $(if $(wildcard constraints.txt),-c constraints.txt)
BUILT_FROM := pyproject.toml $(wildcard constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-without-legacy check loc-report serve clean programs \
	worker worker-dev worker-check worker-check-slow

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: .venv/.made
	$(BIN)/bookline demo $(if $(ONCE),--once)

serve: .venv/.made
	$(BIN)/bookline serve

test: .venv/.made-test programs
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-slow: .venv/.made-test
	$(BIN)/python -m pytest -n 2 -m slow $(ARGS)

test-without-legacy: .venv/.made-test programs
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && \
	tar --exclude=.venv --exclude=.git --exclude=__pycache__ --exclude='.*_cache' -cf - . \
		| tar -xf - -C "$$copy" && rm -r "$$copy/src/bookline/migration/legacy" && cd "$$copy" && \
	PYTHONPATH="$$copy/src" "$(CURDIR)/$(BIN)/python" -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: .venv/.made-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

loc-report: .venv/.made
	@$(BIN)/python benchmarks/loc_report.py

worker: .venv/.made-test worker/node_modules/.made
	$(BIN)/python worker/build.py

worker-dev: worker
	$(BIN)/python worker/dev.py

worker-check: worker
	$(BIN)/python -m pytest worker/tests -n 2 --dist loadfile $(ARGS)

worker-check-slow: worker
	$(BIN)/python -m pytest worker/tests -n 0 -m slow $(ARGS)

worker/node_modules/.made: worker/package.json
	@command -v npm >/dev/null || { \
		echo "The Worker's bench needs Node.js with npm, which is not here; on Debian: apt-get install npm"; \
		exit 1; }
	@echo "Installing the Worker's bench …"
	@cd worker && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf worker/node_modules worker/python_modules worker/assets
	rm -rf .venv build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Bookline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; \
		exit 1; }

.venv/.made: $(BUILT_FROM) | .venv/bin/python
	@echo "Installing into .venv …"
	@$(PIP) install --no-compile -e . $(PINS)
	@touch $@

.venv/.made-test: $(BUILT_FROM) | .venv/bin/python
	@echo "Installing into .venv, with what the tests need …"
	@$(PIP) install --no-compile -e '.[test]' $(PINS)
	@touch .venv/.made $@

# Two programs that some tests talk to. Where they cannot be had, those tests skip themselves.
programs:
	@missing=; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing$$missing …"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			--no-install-recommends $$missing >/dev/null && exit 0; \
	fi; \
	echo "Not installed:$$missing. The tests that need them are skipped;"; \
	echo "to run them too (Debian, as root): apt-get install$$missing"
