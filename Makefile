# make demo    a project with every default answer: generated, trained, evaluated
# make test    every test of the template
# make stress  200 kills of a run of every task, each compared with an undisturbed one
# make bench   side by side with what users would pick instead; ARGS="--only tiny,cnn" for a part
# make quality  how good the defaults are beside simple baselines; ARGS="tables --only mpg" for a part
# make sizes   how long the projects are; ARGS="--compare REV" for a revision before
# make pairs    any two answers in one project, each checked and trained for an epoch; 20 minutes
# make lint    ruff and mypy on the template's own code
# The first call sets up .venv; PYTHON=python3.12 chooses another Python for it.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
VENV_PYTHON := .venv/Scripts/python.exe
BENCH_PYTHON := .venv-bench/Scripts/python.exe
else
VENV_PYTHON := .venv/bin/python
BENCH_PYTHON := .venv-bench/bin/python
endif

.PHONY: demo test stress bench quality sizes pairs lint setup clean

demo: setup
	@$(VENV_PYTHON) tools/demo.py

test: setup
	$(VENV_PYTHON) -m pytest

stress: setup
	@$(VENV_PYTHON) tools/stress.py

bench: setup
	@$(VENV_PYTHON) -m benchmarks.environment
	@$(BENCH_PYTHON) -m benchmarks $(ARGS)

quality: setup
	@$(VENV_PYTHON) -m benchmarks.environment
	@$(BENCH_PYTHON) -m benchmarks.quality $(or $(ARGS),all)

sizes: setup
	@$(VENV_PYTHON) tools/sizes.py $(ARGS)

pairs: setup
	@$(VENV_PYTHON) tools/pairs.py $(ARGS)

lint: setup
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m ruff format --check
	$(VENV_PYTHON) -m mypy

setup:
	@$(PYTHON) tools/install.py

clean:
	rm -rf .venv .venv-bench demo
