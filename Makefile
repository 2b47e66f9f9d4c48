# make demo   set everything up and go the whole way on sample data, on the embedded Postgres
# make test   set everything up, lint, type-check and run all tests
# make setup  the environment alone
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := pyproject.toml constraints.txt
export DO_NOT_TRACK := 1
# pip leaves compiling to the first import, which has to keep what it compiled: torch alone takes seconds.
unexport PYTHONDONTWRITEBYTECODE

# `python -m venv`, without its traceback on Ctrl-C.
MAKE_VENV := import signal, sys, venv; signal.signal(signal.SIGINT, signal.SIG_DFL); venv.main(sys.argv[1:])

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults lint docs docs-serve prefect bench clean

help: ## show this
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/; s/%/NAME/' | expand -t 12

# An interrupted install leaves a folder that looks whole: it is removed at once on Ctrl-C and, should even
# that be cut short, at the next call, because the stamp is written last.
$(VENV)/.installed: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@rm -rf $(VENV)
	@echo "Setting up $(VENV) (a minute or two; the first time the packages are downloaded)"
	@trap 'rm -rf $(VENV); echo; echo "interrupted: nothing is left behind"; exit 130' INT TERM; \
	  { $(PYTHON) -c '$(MAKE_VENV)' $(VENV) && $(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e . ; } \
	    || { rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Adding what the tests need"
	@$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	@touch $@

setup: $(VENV)/.installed ## the environment alone: a venv with pinned packages
	@$(BIN)/two-tower init

# Whatever .env says: generated data goes into no database but the embedded one.
demo: export TWO_TOWER_TARGET := embedded
demo: $(VENV)/.installed ## from nothing to recommendations, on sample data and the embedded Postgres
	@$(BIN)/two-tower init
	@$(BIN)/two-tower sample-data
	@$(BIN)/two-tower run
	@$(BIN)/python -m two_tower.interfaces.demo

lint: $(VENV)/.installed-dev ## lint and types, SQL included
	@$(MAKE) --no-print-directory -j 2 lint-types lint-sql

test: $(VENV)/.installed-dev ## everything: lint, types, dbt parse on both targets, all tests on both engines
	@$(BIN)/two-tower init
	@$(MAKE) --no-print-directory -j 2 lint-types lint-sql parse
	@$(BIN)/pytest -n 2 --dist loadgroup -m "not faults or quick" --durations=40

# Each takes a core for some time: `make lint` and `make test` run two at once.
.PHONY: lint-types lint-sql parse
lint-types: $(VENV)/.installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lint-sql: $(VENV)/.installed-dev
	@$(BIN)/sqlfluff lint --quiet models sql

parse: $(VENV)/.installed-dev
	@$(BIN)/dbt parse --quiet --target duckdb --target-path target/parse-duckdb
	@$(BIN)/dbt parse --quiet --target embedded --target-path target/parse-postgres

# A run that is killed, a server that dies, a disk that is full: some 15 minutes. At the end a table of the faults.
test-faults: $(VENV)/.installed-dev ## break everything once, and see that the app gets right answers all the while
	@$(BIN)/two-tower init
	@$(BIN)/pytest -n 2 --dist loadgroup -m faults tests/faults

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

# Not --quiet: that silences the very warnings that --strict counts.
# Without the variable Material for MkDocs says before each build that it has fixes until May 2027, and Zensical after that.
docs docs-serve: export NO_MKDOCS_2_WARNING := true
docs: $(VENV)/.installed-docs ## the documentation as a site in site/; a broken link or anchor fails
	@$(BIN)/mkdocs build --strict && echo "site/index.html"

docs-serve: $(VENV)/.installed-docs ## the same at http://127.0.0.1:8000, renewed at each change; Ctrl-C ends it
	@$(BIN)/mkdocs serve --strict

# PORT counts on the command line alone: in many an environment it is that of something else.
prefect: $(VENV)/.installed ## server, work pool, deployments and a worker on this machine (PORT=4300: on that port); Ctrl-C ends them
	@$(BIN)/two-tower init
	@exec $(BIN)/python -m two_tower.interfaces.prefect_local $(if $(filter command,$(firstword $(origin PORT))),$(PORT))

# Those of speed, an hour or more in all; each writes its figures. What NAME may be: ls benchmarks/*.py
SPEED := stages features rebuild training serving http scale
bench: $(SPEED:%=bench-%) ## how fast all of it is, beside peers and limits: those of NAME that are about speed

bench-%: $(VENV)/.installed-dev ## one benchmark: features, http, quality, serving, stages, training … (benchmarks/README.md)
	@$(BIN)/two-tower init
	@$(BIN)/python -m benchmarks.$*

# The peers are libraries that the project does not need: they get an environment of their own.
bench-quality bench-training: .venv-peers/.installed

PEERS := benchmarks/quality/requirements.txt
.venv-peers/.installed: $(PEERS)
	@rm -rf .venv-peers
	@echo "Setting up .venv-peers (implicit is compiled: some minutes)"
	@trap 'rm -rf .venv-peers; echo; echo "interrupted: nothing is left behind"; exit 130' INT TERM; \
	  { $(PYTHON) -c '$(MAKE_VENV)' .venv-peers && .venv-peers/bin/pip install --quiet --disable-pip-version-check -r $(PEERS) ; } \
	    || { rm -rf .venv-peers; exit 1; }
	@touch $@

clean: ## stop the embedded Postgres and remove what the project made (your data/raw stays)
	@test ! -x $(BIN)/two-tower || $(BIN)/two-tower db stop || true
	@rm -rf $(VENV) .venv-peers site target logs runs artifacts data/postgres data/.postgres.lock data/warehouse.duckdb
