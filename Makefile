# `make demo` and `make test` are all the set-up there is: they make their own environment in .venv.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
RUNS := .venv/runs
READY := .venv/ready
INSTALL := python -m pip install -q --disable-pip-version-check

.PHONY: demo test lint docs prove soak bench mutants breakages lock clean

demo: $(RUNS)
	@$(BIN)/rotator demo

# COVERAGE=1, as CI does: what is not generated with coverage, and what it must have met.
test: $(READY)
ifdef COVERAGE
	@rm -f .coverage .coverage.*
	@COVERAGE_FILE=.coverage.demo $(BIN)/python -m coverage run -m rotator demo >demo.log
	@COVERAGE_FILE=.coverage.some ROTATOR_SIMULATED=150 $(BIN)/python -m pytest -q tests/simulation --cov=rotator --cov-branch --cov-report=
	@$(BIN)/python -m tests --coverage
	@$(BIN)/python -m coverage combine -q && $(BIN)/python -m tests.covered
else
	@$(BIN)/python -m tests
endif

lint: $(READY)
	@$(BIN)/ruff check rotator tests .ci/environment.py .ci/site.py
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The documentation site, in site/. A link that leads nowhere fails.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Every state of the model, walked anew and written down: ten minutes of two processors. After a change of core or model.
prove: $(READY)
	@$(BIN)/python -m tests.model.proof

# Full-length kills, simulation and model: hours.
soak: prove
	@ROTATOR_FULL=1 ROTATOR_YEAR=1000 ROTATOR_SIMULATED=100000 ROTATOR_KILL_EVERY=1 ROTATOR_KILL_EVERYWHERE=1 ROTATOR_KILLS=500 ROTATOR_CONTAINER_KILLS=50 $(BIN)/python -m pytest -q -s tests/simulation tests/properties tests/acceptance -m slow

bench: $(READY)
	@$(BIN)/python -m tests.bench

# Mutants of the core, all met anew and written down: a quarter of an hour. What may survive is in the file, by hand.
mutants: $(READY)
	@$(BIN)/python -m tests.mutants

# The product broken on purpose, where one line keeps a promise: a test must notice each. Some minutes.
breakages: $(READY)
	@$(BIN)/python -m tests.breakages

# The environment, from the locks with their hashes: what the demo needs; what tests need is added to it.
$(RUNS): pyproject.toml requirements-demo.lock
	@test -n "$(PYTHON)" || { echo "error: there is no Python 3.11 or newer" >&2; echo "hint: install it (Debian: apt install python3 python3-venv), or make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) .ci/environment.py requirements-demo.lock .
	@touch $(RUNS)

$(READY): $(RUNS) requirements.lock
	@$(PYTHON) .ci/environment.py requirements.lock
	@touch $(READY)

# For the demo; for CI and developers; for the image. Extras stay in: pip 23 asks for them, and must find them with hashes.
# The last one also shows that all extras resolve together.
COMPILE = $(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header
lock:
	@test -x $(BIN)/uv || $(MAKE) $(READY)
	@$(COMPILE) --extra dev pyproject.toml build-requirements.in -o requirements.lock
	@$(COMPILE) --constraint requirements.lock pyproject.toml build-requirements.in -o requirements-demo.lock
	@$(COMPILE) --extra all pyproject.toml -o requirements-all.lock
	@$(COMPILE) --constraint requirements.lock build-requirements.in -o requirements-build.lock

clean:
	rm -rf .venv site mutants mutants.log .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
