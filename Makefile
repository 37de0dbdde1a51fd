# make demo   train a small classifier on the textures in sample_data/ and write its report
# make test   run the whole test suite
# make test-fast    run the tests without TensorFlow and slow steps: under two minutes on two cores
# make test-plugins  run the tests of each distribution in plugins/
# make coverage  measure the line coverage of the quick tests, into build/coverage/index.html; of the whole suite: make coverage ALL=1
# make lint   check style, types and the import layers
# make bench  run the benchmarks beside their peers, each peer in an environment of its own, and write build/bench.md (hours)
# make docs   build the documentation into build/docs/index.html, and check its links
# make release VERSION=0.2.0  give the version to the package and to the changelog, with the date, and build it into dist/;
#             FILES=https://… names where the release's files can be read, for the pictures on a package index
# make next VERSION=0.3.0     begin the changelog of the version after a release
# make links  check the documentation's links to other sites
#
# Each target creates the virtual environment that it needs. The only requirement is Python 3.11 to 3.13;
# if several are installed, choose one with PYTHON=...

# The first one that runs: a version manager may have a python3.12 on the path that only prints how to install it.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && command -v "$$name" && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# One more than there are cores: many tests wait for a process that they start.
JOBS ?= $(shell "$(PYTHON)" -c 'import os; print(len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1)')
PLUGINS := $(notdir $(patsubst %/,%,$(dir $(wildcard plugins/*/pyproject.toml))))

# While other tests need the core, threads that wait for work must not keep it busy: OpenMP's do, for a third of some tests' time.
test test-fast test-plugins coverage: export OMP_WAIT_POLICY = passive
# Thousands of processes start: where this is set, each would compile every module that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-plugins coverage lint format bench docs links release next dist constraints clean

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

demo: $(VENV)/.package
	$(BIN)/pipekit run sample_data/textures/pipeline.toml

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# tests/marks.py lists the excluded tests; the run fails if any other test imports TensorFlow.
test-fast: $(VENV)/.test
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not tensorflow and not slow"

# In their own folders, two in parallel, because starting TensorFlow and servers takes most of the time. Output is grouped by plugin.
# Afterwards the plugins are uninstalled: pipekit's own tests cover only the built-in components.
test-plugins: $(VENV)/.test
	$(INSTALL) $(foreach plugin,$(PLUGINS),--editable './plugins/$(plugin)[test]')
	code=0; printf '%s\n' $(PLUGINS) | xargs -P 2 -I {} sh -c 'cd plugins/{} && said=$$($(abspath $(BIN))/python -m pytest -q 2>&1); code=$$?; \
		printf "== %s\n%s\n" {} "$$said"; exit $$code' || code=1; \
	$(BIN)/python -m pip uninstall --quiet --yes $(PLUGINS); exit $$code

# Processes that the tests start are measured too. There is no coverage target: the number shows gaps, not the quality of tests.
COVERED ?= $(if $(ALL),,-m "not tensorflow and not slow")
coverage: $(VENV)/.test
	COVERAGE_FILE=$(abspath build/coverage)/data $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(COVERED) \
		--cov --cov-config=pyproject.toml --cov-report=term:skip-covered --cov-report=html:build/coverage

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python benchmarks/everything.py $(PHOTOS)

docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/check_links.py
	$(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going -b html docs build/docs
	@echo "The documentation is in build/docs/index.html"

# It depends on the network and on other sites, so it is not part of the checks of a change.
links: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --quiet --keep-going -b linkcheck docs build/links

release: $(VENV)/.dev
	$(BIN)/python docs/release.py $(VERSION)
	$(MAKE) dist FILES="$(FILES)"

next: $(VENV)/.dev
	$(BIN)/python docs/release.py $(VERSION) --open

# FILES: the address of the folder with the files of this release. Without it the long description has no pictures.
dist: $(VENV)/.dev
	rm -rf dist
	PIPEKIT_FILES="$(FILES)" $(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

# Regenerate the versions that the tests run with, from the newest that pyproject.toml allows.
constraints: check-python
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev,docs]' $(PLUGINS)
	build/constraints/bin/python -m pip freeze --exclude-editable > build/constraints.txt
	(sed -n '/^#/p' constraints.txt; cat build/constraints.txt) > build/constraints.new
	mv build/constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist

# --- the virtual environment; a stamp file records its content, so nothing is installed twice -----------------------------

.PHONY: check-python
check-python:
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		echo "error: '$(PYTHON)' is not a Python from 3.11 to 3.13. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }

$(VENV)/.python: | check-python
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) can't make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@touch $@

$(VENV)/.package: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "Installing pipekit and its dependencies into $(VENV) (about 2 GB; once) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.package
	@$(INSTALL) --editable '.[test]'
	@touch $@

# At once what would be three installations: pip resolves all dependencies again in each.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "Installing pipekit, its dependencies and the tools of its developers into $(VENV) (about 2 GB; once) ..."
	@$(INSTALL) --editable '.[test,dev]'
	@touch $(VENV)/.package $(VENV)/.test $@

$(VENV)/.docs: $(VENV)/.package
	@$(INSTALL) --editable '.[test,docs]'
	@touch $@
