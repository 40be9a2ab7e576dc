# run · test · lint: the only doors a newcomer needs. `make bench` measures, `make chaos` kills, `make histories` looks for
# a mail without a right to it, `make enumeration` tries to find out who is known, `make fuzz`
# sends what nobody would think of, `make audit` looks for known holes, `make format` tidies, `make lock` renews the
# pinned requirements, `make schema` the schemas by which editors check content.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint format browser screenshots lock schema bench chaos histories enumeration fuzz audit
.DEFAULT_GOAL := run

run: .venv/.runtime
	@exec $(BIN)/funnel up

test: .venv/.tests browser lint
	@exec $(BIN)/pytest -n 2 --dist worksteal

lint: .venv/.tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/funnel check

format: .venv/.tests
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

browser: .venv/.tests
	@$(BIN)/python -m tests.browser

screenshots: .venv/.tests browser
	@SCREENSHOTS=docs/screenshots $(BIN)/pytest -q tests/service/test_browser.py

bench: .venv/.tests
	@$(BIN)/python -m benchmarks

chaos: .venv/.tests
	@$(BIN)/python -m tests.chaos

histories: .venv/.tests
	@FUNNEL_HISTORIES=10000 $(BIN)/pytest -q tests/flow/test_rights_histories.py

enumeration: .venv/.tests
	@$(BIN)/python -m tests.web.enumeration

fuzz: .venv/.tests
	@$(BIN)/python -m tests.web.fuzz

audit: .audit/.ready
	@.audit/bin/bandit -q -c pyproject.toml -r funnel && echo "bandit: nothing found in our own source."
	@.audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.txt || { echo "Not clean, or not known: where it says \"not found\" or \"connection\", the advisory service cannot be reached from here, and nothing was learned. Run it where it can."; exit 1; }

schema: .venv/.tests
	@$(BIN)/python -c 'from pathlib import Path; from funnel.content.schema import schemas; \
	  [Path("docs/schema", name).write_text(text, "utf-8") for name, text in schemas()]'

lock: .venv/.tests
	@$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-emit-options --upgrade -o requirements.txt pyproject.toml
	@$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-emit-options --upgrade --extra test -c requirements.txt -o requirements-test.txt pyproject.toml
	@$(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --no-emit-options --upgrade --extra audit -c requirements.txt -o requirements-audit.txt pyproject.toml

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is needed. Install it, or name it: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing. On Debian: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv

.audit/.ready: requirements-audit.txt
	@$(PYTHON) -m venv .audit
	@.audit/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-audit.txt
	@touch $@

.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	@echo "Installing the service into .venv (about a minute, once) …"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/.tests: requirements-test.txt .venv/.runtime
	@echo "Installing the test tools into .venv …"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-test.txt
	@touch $@
