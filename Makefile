# Everything runs in .venv, made by the first target that needs it and made again only when the pins change.
STUDY ?= digits
ARGS ?=
PYTHON ?= python3
# cpu: torch without CUDA where an index of pip's configuration has it; cuda: as pip finds it.
TORCH ?= $$(command -v nvidia-smi >/dev/null && echo cuda || echo cpu)
PY := .venv/bin/python
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(PY) -m pip
INSTALL := $(PIP) install -c constraints.txt -c .venv/.torch

.DEFAULT_GOAL := help
.PHONY: help dev api sweep confirm certain report plan search sync compact test test-fast test-slow test-all check-plugin chaos sceptic fuzz load cluster bench bench-kernels bench-certain bench-search bench-report bench-store gallery index gpu lint clean setup

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo "  TORCH=cpu or TORCH=cuda chooses what is installed (without nvidia-smi: cpu)"
	@echo "  STUDY=NAME chooses conf/experiment/NAME.yaml (now: $(STUDY)); ARGS=\"...\" are Hydra overrides"

setup: .venv/.ready ## the environment: .venv with the versions of constraints.txt

dev: .venv/.ready-dev ## set up for changes: the environment with what tests need, and the pre-commit hook
	@$(PY) -m pre_commit install

api: .venv/.ready-dev ## the API page, made from docstrings: build/api/index.html
	@$(PY) -m tests.support.api build/api

sweep: .venv/.ready ## train what is missing of a study and render its report (STUDY=digits)
	@$(PY) -m study.commands run --report experiment=$(STUDY) $(ARGS)

search: .venv/.ready ## tune every arm of a study with the same budget; says how to train the tuned study (STUDY=digits)
	@$(PY) -m study.commands search experiment=$(STUDY) $(ARGS)

confirm: .venv/.ready ## train the best arms of a study again on fresh seeds, and render its report (ARGS: what the study was trained with)
	@$(PY) -m study.commands confirm --report experiment=$(STUDY) $(ARGS)

certain: .venv/.ready ## add seeds where they decide until the study's question is answered, and render its report (ARGS="study.certain.delta=.01 plan=true")
	@$(PY) -m study.commands certain --report experiment=$(STUDY) $(ARGS)

report: .venv/.ready ## render the report of a study again
	@$(PY) -m study.commands report experiment=$(STUDY) $(ARGS) && $(PY) -m study.commands artifacts experiment=$(STUDY) $(ARGS)

sync: .venv/.ready ## upload what W&B logged offline of a study, once (SYNC="--seconds 300": how long to wait for an arrival)
	@$(PY) -m study.commands sync experiment=$(STUDY) $(ARGS) $(SYNC)

compact: .venv/.ready ## put the finished points of a study into few Parquet files, which every command reads (STUDY=digits)
	@$(PY) -m study.commands compact experiment=$(STUDY) $(ARGS)

index: .venv/.ready ## one page over all studies in outputs/
	@$(PY) -m reports index outputs

plan: .venv/.ready ## what make sweep would run: points, groups, time; trains nothing
	@$(PY) -m study.commands plan experiment=$(STUDY) $(ARGS)

# A file's tests stay in one process: what a file prepares once is prepared once. One process more
# than cores, and two more for the slow tests, which often wait for processes of their own.
CORES := $$(n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 6 ? n : 6)))
PYTEST_ALL = OMP_NUM_THREADS=1 $(PY) -m pytest -n $$(($(CORES) + $(1))) --dist loadfile --no-loadscope-reorder
FAST := $(addprefix tests/, store config cells clipping encoders health initializers optimizers penalties schedules readouts probes diagnostics numerics machine launch/test_progress.py search/test_space.py search/test_slots.py test_tiers.py test_screen.py)

test: .venv/.ready-dev ## the tests but for the slow ones (PYTEST="-k probes" for some, PYTEST="-n 0" for one after another)
	@$(call PYTEST_ALL,1) -m "not slow and not cluster" $(PYTEST)

test-fast: .venv/.ready-dev ## the rooms whose tests take a minute in all: after every change
	@$(call PYTEST_ALL,1) -m "not slow and not cluster" $(FAST) $(PYTEST)

test-slow: .venv/.ready-dev ## what make test leaves out: clusters, browsers, databases, kills, packages, whole experiments
	@$(call PYTEST_ALL,2) -m "slow and not cluster" $(PYTEST)

test-all: .venv/.ready-dev ## make test and make test-slow in one
	@$(call PYTEST_ALL,2) $(PYTEST)

check-plugin: .venv/.ready ## the battery on a folder of your own pieces (DIR=mine), found through its YAMLs
	@$(PY) -m study.check $(or $(DIR),$(error give the folder of your own pieces: make check-plugin DIR=mine))

bench: .venv/.ready-dev ## this program beside scripts, Hydra's joblib, Ray Tune, torch.nn; growth; one table, one JSON (BENCH="scripts --repeats 1"; 20 minutes)
	@$(PY) -m tests.bench $(BENCH)

lint: .venv/.ready-dev ## style, types, and which layer may import which
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

chaos: .venv/.ready-dev ## a campaign of SIGKILLs over a real sweep, and what it changed: nothing (CHAOS="--kills 300 --seed 1" for more; some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.campaigns.chaos $(CHAOS)
	@OMP_NUM_THREADS=1 $(PY) -m tests.campaigns.chaos --trainers $(CHAOS)
	@OMP_NUM_THREADS=1 $(PY) -m tests.campaigns.chaos_of_races $(CHAOS)

sceptic: .venv/.ready-dev ## 2,000 random studies of known truth: how often the report's statements are wrong (STUDIES=500 for fewer; some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.reports.simulated $(STUDIES)

fuzz: .venv/.ready-dev ## 15,000 inputs that nobody meant to write: overrides, YAML, files of a store, mangled tables (FUZZ="--inputs 50000 --seed 1"; some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.campaigns.fuzz $(FUZZ)

load: .venv/.ready-dev ## 10,000 quick points in one study: what everything but training costs a point (LOAD="--points 2000"; some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.campaigns.load $(LOAD)

cluster: .venv/.ready-dev ## what takes minutes on a real Slurm and Ray of this machine: a job's time limit passes, again and again; a search and a race through each
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q --timeout=1800 -m "cluster or not cluster" tests/campaigns/cluster_limits.py tests/search/test_remote.py

bench-kernels: .venv/.ready-dev ## times every kernel of every cell by size and writes study/kernels/table.yaml, which kernel=auto reads (some minutes)
	@OMP_NUM_THREADS=1 MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=1073741824 $(PY) -m tests.bench.kernels $(KERNELS)

bench-certain: .venv/.ready-dev ## simulated races where the truth is known: wrong decisions, coverage, runs (RACES="--races 500 --study outputs/digits"; some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.bench.certain $(RACES)

bench-search: .venv/.ready-dev ## samplers against random search, and what pruning saves, where the answer is known (some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.bench.search

bench-report: .venv/.ready-dev ## size, time and memory of the report of 200 and of 1,000 points against their budgets (some minutes)
	@OMP_NUM_THREADS=1 $(PY) -m tests.bench.report

bench-store: .venv/.ready-dev ## time and memory of status and table over 100,000 synthetic points, on disk for the time being (STORE="--points 5000 --report")
	@OMP_NUM_THREADS=1 $(PY) -m tests.bench.store $(STORE)

gallery: .venv/.ready-dev ## train the default study, and refresh reports/gallery with its page and a picture of it
	@$(PY) -m study -m experiment=digits 'tracker=[]' && $(PY) -m reports render outputs/digits && $(PY) -m tests.support.gallery outputs/digits

gpu: .venv/.ready-dev ## default study, default search, kernels against fp64 and repeatability on a CUDA GPU; says so where there is none
	@$(PY) -m tests.bench.on_gpu

clean: ## remove the environment and caches; results in outputs/ stay
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1); name another one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "setting up .venv (once; some minutes)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "error: $(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 2; }

# Says which torch comes and how much that is, before the download; pip index only reads a list.
# Elsewhere than on Linux x86_64 there is one build.
CHOOSE_TORCH = pin=$$(sed -n 's/^torch==//p' constraints.txt); touch .venv/.torch; \
	case "$(TORCH) $$(uname -sm)" in \
	  "cpu Linux x86_64") \
	    if $(PIP) index versions torch 2>/dev/null | grep -qwF "$$pin+cpu"; then \
	      echo "torch==$$pin+cpu" > .venv/.torch; \
	      echo "installing with torch $$pin for CPUs: .5 GB to download (TORCH=cuda for a GPU: 3 GB)"; \
	    else echo "installing with torch $$pin for CUDA: 3 GB to download. No index that pip is configured with has"; \
	      echo "$$pin+cpu; with one that has it (pip config set global.extra-index-url URL) it is .5 GB"; fi;; \
	  "cuda Linux x86_64") echo "torch!=$$pin+cpu" > .venv/.torch; \
	    echo "installing with torch $$pin for CUDA: 3 GB to download";; \
	  cpu*|cuda*) echo "installing with torch $$pin: .5 GB to download";; \
	  *) echo "error: TORCH is cpu or cuda, got $(TORCH)" >&2; exit 2;; \
	esac

# The stamp holds the pins it was made with: a file's date is no reason to install again, its content is.
ifeq ($(origin TORCH),command line)
.PHONY: .venv/.ready
endif
.venv/.ready: constraints.txt pyproject.toml | .venv/bin/python
	@{ cat constraints.txt pyproject.toml; echo "$(TORCH)"; } | cksum > .venv/.pins; \
	if ! cmp -s .venv/.pins .venv/.pins-ready; then \
	  $(CHOOSE_TORCH); $(INSTALL) -e . && cp .venv/.pins .venv/.pins-ready; fi && \
	echo "compiling the kernels, once per machine and version" && $(PY) -m study.training.compile && touch $@

# aeon: for its data alone
.venv/.ready-dev: .venv/.ready
	@if ! cmp -s .venv/.pins-ready .venv/.pins-dev; then \
	  $(INSTALL) --quiet -e '.[dev]' && $(INSTALL) --quiet --no-deps aeon && \
	  cp .venv/.pins-ready .venv/.pins-dev; fi && touch $@
