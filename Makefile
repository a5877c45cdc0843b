# make quickstart: from a fresh clone to a trained backbone;  make test: all tests;  make bench: time and memory
PYTHON ?= python3
DIGITS := configs/pic/pic_r18-3stage-w32_1xb128_40e_digits.py
DIGITS_RUN := work_dirs/digits
QUICKSTART := work_dirs/quickstart
BENCHMARKS := work_dirs/benchmarks
RUNNER_TESTS := $(addprefix tests/engine/test_,hooks.py contrastive_prior.py runner_dense.py runtime_info_hook.py)
TRANSFER := work_dirs/transfer
EVIDENCE := work_dirs/evidence
WHEELS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pic_plugin/wheels
PIP := bin/python -m pip --disable-pip-version-check --quiet install

.PHONY: help quickstart test test-upstream test-downstream test-gpu evidence evidence-networks evidence-all glyphs transfer \
	bench bench-gpu docs dist clean

help:
	@sed -n 1p Makefile | cut -c3-
	@echo "make evidence: the papers' main claims on letters, in half an hour;  make evidence-all: all tables, in hours"
	@echo "make evidence-networks: going on from a network, DIET, a transformer, clusters as classes, in half an hour"
	@echo "make transfer: every protocol, in small"
	@echo "make test-upstream: the tests with OpenMMLab's own packages;  make clean: remove the environments"
	@echo "make test-downstream: those of detection and segmentation"
	@echo "make test-gpu, make bench-gpu: tests, time and memory on GPUs (docs/gpus.md)"
	@echo "make docs: the site, in build/site;  make dist: wheel and sdist, built and checked, in dist"

# --- environments: a stamp says that one is complete ---

# mmcv without compiled ops, built in an environment without torch; past pip's cache, which would take this wheel for one
# with ops later
.venv/.quickstart: requirements/torch.txt requirements/onedl.txt requirements/runtime.txt setup.py
	$(PYTHON) -m venv .venv
	.venv/$(PIP) -r requirements/torch.txt 'setuptools>=77,<81' wheel
	.venv/$(PIP) --no-cache-dir $$(grep ^onedl-mmcv requirements/onedl.txt)
	.venv/$(PIP) -r requirements/onedl.txt -r requirements/runtime.txt
	.venv/$(PIP) --no-build-isolation --no-deps -e .
	touch $@

.venv/.tests: .venv/.quickstart requirements/tests.txt
	.venv/$(PIP) -r requirements/tests.txt
	touch $@

.venv-upstream/.tests: requirements/torch.txt requirements/upstream.txt requirements/runtime.txt \
		requirements/tests.txt setup.py
	$(PYTHON) -m venv .venv-upstream
	.venv-upstream/$(PIP) -r requirements/torch.txt 'setuptools>=77,<81' wheel
	.venv-upstream/$(PIP) -r requirements/upstream.txt -r requirements/runtime.txt -r requirements/tests.txt
	.venv-upstream/$(PIP) --no-build-isolation --no-deps -e .
	touch $@

# mmcv with compiled ops, for detection and segmentation.  Its setup.py asks for C++ 14 or 17, and the headers of torch
# for 20.  The wheel is good for one version of torch and of Python, with or without CUDA, which its name does not say:
# it stays out of pip's cache, in a folder that does, for all clones
.venv-downstream/.complete: requirements/torch.txt requirements/onedl.txt requirements/downstream.txt \
		requirements/runtime.txt requirements/tests.txt setup.py
	$(PYTHON) -m venv .venv-downstream
	.venv-downstream/$(PIP) -r requirements/torch.txt 'setuptools>=80,<81' wheel packaging ninja psutil
	set -e; export PATH="$$PWD/.venv-downstream/bin:$$PATH"; \
	mmcv="$$(grep ^onedl-mmcv requirements/onedl.txt)"; \
	wheels="$(WHEELS)/$$(python -c 'import sys, torch; print("torch%s-cp%d%d-%s" % (torch.__version__.split("+")[0], \
		*sys.version_info[:2], "cuda" if torch.cuda.is_available() else "cpu"))')"; \
	if ! .venv-downstream/$(PIP) --no-index --no-deps --find-links "$$wheels" "$$mmcv" 2>/dev/null; then \
		echo "compiling mmcv's ops, once, into $$wheels: 10 to 30 minutes on two cores"; \
		rm -rf "$$wheels.partial"; mkdir -p "$$wheels.partial"; \
		python -m pip --quiet download --no-binary :all: --no-build-isolation --no-deps --dest "$$wheels.partial" "$$mmcv"; \
		tar -xf "$$wheels.partial"/*.tar.gz -C "$$wheels.partial"; \
		sed -i 's/-std=c++1[47]/-std=c++20/' "$$wheels.partial"/*/setup.py; \
		python -m pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir "$$wheels.partial" "$$wheels.partial"/*/; \
		mkdir -p "$$wheels"; mv "$$wheels.partial"/*.whl "$$wheels"; rm -r "$$wheels.partial"; \
		.venv-downstream/$(PIP) --no-index --no-deps --find-links "$$wheels" "$$mmcv"; \
	fi
	.venv-downstream/$(PIP) -r requirements/onedl.txt -r requirements/downstream.txt -r requirements/runtime.txt \
		-r requirements/tests.txt
	.venv-downstream/$(PIP) --no-build-isolation --no-deps -e .
	touch $@

# torch and the toolboxes are not needed to read docstrings
.venv-docs/.complete: requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/$(PIP) -r requirements/docs.txt
	touch $@

.venv-dist/.complete: requirements/dist.txt
	$(PYTHON) -m venv .venv-dist
	.venv-dist/$(PIP) -r requirements/dist.txt
	touch $@

# --- what a user types ---

quickstart: .venv/.quickstart
	.venv/bin/python tools/dataset_converters/write_digits.py data/digits
	.venv/bin/python -m pic_plugin pretrain data/digits/train --out $(QUICKSTART) --visits 40 --cpu \
		$(if $(wildcard $(QUICKSTART)/config.py),--resume)
	.venv/bin/python tools/evaluate_features.py $(QUICKSTART) data/digits/train data/digits/test
	.venv/bin/python -m pic_plugin report $(QUICKSTART)

# the tests of the Runner and its hooks twice: on the CPU, and on a pretend GPU (docs/pretend_gpu.md)
test: .venv/.tests
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest
	.venv/bin/python -m pytest -p tests.pretend_gpu.plugin $(RUNNER_TESTS)

test-upstream: .venv-upstream/.tests
	.venv-upstream/bin/python -m pytest

test-downstream: .venv-downstream/.complete
	.venv-downstream/bin/python -m pytest tests/downstream

# one after the other, so that no two share a GPU; what is left out, and why, is said at the end
test-gpu: .venv/.tests
	PIC_TEST_GPU=1 .venv/bin/python -m pytest --numprocesses 0 -rs tests/gpu

# letters of Debian's font packages, which are fetched and not installed, or of the fonts below FONTS=folder
glyphs: .venv/.quickstart
	$(if $(FONTS),,tools/dataset_converters/fetch_fonts.sh data/fonts)
	.venv/bin/python tools/dataset_converters/write_glyphs.py $(or $(FONTS),data/fonts) data/glyphs

# what was run before is not run again
evidence: glyphs
	PYTHONWARNINGS=ignore .venv/bin/python tools/evidence.py $(EVIDENCE)

# on from another network, DIET and other networks, classes between labels and images
evidence-networks: glyphs
	PYTHONWARNINGS=ignore .venv/bin/python tools/evidence.py $(EVIDENCE) --tables continue diet classes

evidence-all: glyphs
	PYTHONWARNINGS=ignore .venv/bin/python tools/evidence.py $(EVIDENCE) --all

# every protocol to its end, in small, from a checkpoint and from random weights
transfer: .venv-downstream/.complete
	.venv-downstream/bin/python tools/dataset_converters/write_digits.py data/digits
	.venv-downstream/bin/python tools/train.py $(DIGITS) --work-dir $(DIGITS_RUN) --resume --cpu
	.venv-downstream/bin/python tools/benchmark_suite.py $(DIGITS_RUN)/backbone.pth --suite digits --random \
		--work-dir $(TRANSFER)
	.venv-downstream/bin/python -m tests.downstream.small $(TRANSFER)/shapes

bench: .venv/.quickstart
	for name in catch_up communication hybrid_parallel hardest_classes training_step checkpoint scaling head_step input; do \
		PYTHONWARNINGS=ignore .venv/bin/python tools/benchmarks/$$name.py --out $(BENCHMARKS) || exit 1; \
	done
	.venv/bin/python tools/benchmarks/plot.py $(BENCHMARKS)

bench-gpu: .venv/.quickstart
	PYTHONWARNINGS=ignore .venv/bin/python tools/benchmarks/gpu_step.py --out $(BENCHMARKS)

# a warning is an error: of a link that leads nowhere, a page that no list has, a docstring that cannot be read
docs: .venv-docs/.complete
	.venv-docs/bin/sphinx-build -b html -q -E --fail-on-warning --keep-going docs build/site
	@echo "build/site/index.html"

# the wheel is built from the sdist, so the sdist has what that takes
dist: .venv-dist/.complete
	rm -rf dist build/lib build/bdist.*
	.venv-dist/bin/python -m build --no-isolation --outdir dist .
	.venv-dist/bin/twine check --strict dist/*
	.venv-dist/bin/python tools/check_dist.py dist

clean:
	rm -rf .venv .venv-upstream .venv-downstream .venv-docs .venv-dist
