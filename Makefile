# make quickstart: from a fresh clone to a trained backbone;  make test: all tests;  make bench: time and memory
PYTHON ?= python3
DIGITS := configs/pic/pic_r18-3stage-w32_1xb128_40e_digits.py
QUICKSTART := work_dirs/quickstart
BENCHMARKS := work_dirs/benchmarks
PIP := bin/python -m pip --disable-pip-version-check --quiet install

.PHONY: help quickstart test test-upstream ablation bench clean

help:
	@sed -n 1p Makefile | cut -c3-
	@echo "make ablation: the digits with and without each part of the papers"
	@echo "make test-upstream: the tests with OpenMMLab's own packages;  make clean: remove the environments"

# --- environments: a stamp says that one is complete ---

# mmcv without compiled ops, built in an environment without torch; past pip's cache, which would take this wheel for one
# with ops later
.venv/.quickstart: requirements/torch.txt requirements/onedl.txt requirements/evaluation.txt setup.py
	$(PYTHON) -m venv .venv
	.venv/$(PIP) -r requirements/torch.txt 'setuptools>=77,<81' wheel
	.venv/$(PIP) --no-cache-dir $$(grep ^onedl-mmcv requirements/onedl.txt)
	.venv/$(PIP) -r requirements/onedl.txt -r requirements/evaluation.txt
	.venv/$(PIP) --no-build-isolation --no-deps -e .
	touch $@

.venv/.tests: .venv/.quickstart requirements/tests.txt
	.venv/$(PIP) -r requirements/tests.txt
	touch $@

.venv-upstream/.tests: requirements/torch.txt requirements/upstream.txt requirements/evaluation.txt \
		requirements/tests.txt setup.py
	$(PYTHON) -m venv .venv-upstream
	.venv-upstream/$(PIP) -r requirements/torch.txt 'setuptools>=77,<81' wheel
	.venv-upstream/$(PIP) -r requirements/upstream.txt -r requirements/evaluation.txt -r requirements/tests.txt
	.venv-upstream/$(PIP) --no-build-isolation --no-deps -e .
	touch $@

# --- what a user types ---

quickstart: .venv/.quickstart
	.venv/bin/python tools/dataset_converters/write_digits.py data/digits
	.venv/bin/python tools/train.py $(DIGITS) --work-dir $(QUICKSTART) --resume
	.venv/bin/python tools/evaluate_features.py $(DIGITS) $(QUICKSTART)

test: .venv/.tests
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/python -m pytest

test-upstream: .venv-upstream/.tests
	.venv-upstream/bin/python -m pytest

ablation: .venv/.quickstart
	.venv/bin/python tools/dataset_converters/write_digits.py data/digits
	PYTHONWARNINGS=ignore .venv/bin/python tools/ablation.py work_dirs/ablation

bench: .venv/.quickstart
	for name in catch_up communication hybrid_parallel hardest_classes training_step checkpoint scaling head_step; do \
		PYTHONWARNINGS=ignore .venv/bin/python tools/benchmarks/$$name.py --out $(BENCHMARKS) || exit 1; \
	done
	.venv/bin/python tools/benchmarks/plot.py $(BENCHMARKS)

clean:
	rm -rf .venv .venv-upstream
