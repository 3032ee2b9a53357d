# Needs python3 (3.11 or newer) and make; `.venv` is built on the first call and kept.
#   make demo    train, score and look at a small detector of tiny objects
#   make test    all tests that need no GPU, no network and no private data
#   make lint    format, lint, types, import contract
#   make golden  reference numbers; TOPIC=rfla for one topic
#   make bench   time and memory beside other libraries

PYTHON ?= python3
# Processes that run tests; each computes on one core.
JOBS ?= 2
TOPIC ?=
DEMO ?= runs/demo

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_BENCH := $(VENV)/.installed-bench
UV := uv==0.13.8
export PIP_DISABLE_PIP_VERSION_CHECK := 1
ONE_CORE := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# uv is many times faster; where it cannot be had or reach an index, pip does the same.
install = UV_SYSTEM_CERTS=1 $(BIN)/python -m uv pip install --quiet --python $(BIN)/python $(1) || $(BIN)/python -m pip install --quiet $(1)

.PHONY: demo test lint golden bench clean

# A second call goes on where the first one ended.
demo: $(INSTALLED)
	test -f $(DEMO)_data/annotations/val.json || $(BIN)/tinyscope synthetic $(DEMO)_data
	$(BIN)/tinyscope train quick/demo --data $(DEMO)_data --out $(DEMO) --resume
	$(BIN)/tinyscope evaluate $(DEMO)/best.ckpt --data $(DEMO)_data --json $(DEMO)/score.json
	$(BIN)/tinyscope predict $(DEMO)/best.ckpt $(DEMO)_data/images/val --out $(DEMO)/found --truth $(DEMO)_data/annotations/val.json
	$(BIN)/tinyscope report $(DEMO) --data $(DEMO)_data
	@echo "pictures: $(DEMO)/found/pictures"
	@echo "report:   $(DEMO)/report.html"

test: $(INSTALLED)
	$(ONE_CORE) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not gpu" -q -rs --ignore=tests/golden
	@# In one process: a golden file that no test of its topic read is a failure.
	$(ONE_CORE) $(BIN)/python -m pytest -m "not gpu" -q tests/golden

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

golden: $(INSTALLED)
	$(ONE_CORE) $(BIN)/python -m pytest -m "not gpu" -q -rs tests/golden$(if $(TOPIC),/test_$(TOPIC).py)

bench: $(INSTALLED_BENCH)
	for file in benchmarks/[!_]*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "tinyscope needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(UV) || true
	$(call install,-r requirements.txt)
	$(call install,--no-deps --no-build-isolation -e .)
	touch $@

$(INSTALLED_BENCH): $(INSTALLED) requirements-bench.txt
	$(call install,-r requirements-bench.txt)
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
