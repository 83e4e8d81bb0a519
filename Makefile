# Two commands do all: `make course` and `make test`. `make help` lists the rest.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
SHELL := bash
STAMPS := _build/stamps
NPM_QUIETLY := --ignore-scripts --no-audit --no-fund

LIBRARY := $(shell find bnlib -name '*.py')
EXPERIMENTS := $(shell find experiments tools -name '*.py' -o -name '*.[cm]js')
CHAPTERS := $(wildcard index.md references.bib _config.yml _toc.yml chapters/* chapters/hub/* chapters/quiz/* chapters/stills/* widgets/* live/* scripts/* _static/* benchmarks/results/*)
SETS := $(wildcard solutions/*.md)
GRADER := $(shell find grading -name '*.py' -o -name '*.html') nbgrader_config.py
CLASS := $(shell find tests/sample_class -type f 2>/dev/null)

# The contents of the grader and of what attacks it.
ATTACKED = git ls-files -s grading bnlib/check bnlib/emulator nbgrader_config.py solutions tests/hostile \
  'tests/test_hostile*.py' ':!tests/hostile/passed' | sha256sum

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help course book exercises grades test mutants hostile hostile-if-changed test-book hub notebooks-alone pdf zip lighthouse grader-report test-gpu bench bench-gpu bench-grader bench-sets lint format \
  links serve lab clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

course: book exercises grades ## Build the book, the student notebooks, and grade the sample class
	@echo
	@echo "The book:          _build/html/index.html   (or: make serve)"
	@echo "Student notebooks: exercises/               (or: make lab)"
	@echo "Graded class:      _build/nbgrader/         (feedback in _build/nbgrader/feedback)"

book: $(STAMPS)/book ## Build the HTML book into _build/html
exercises: $(STAMPS)/exercises ## Generate the student notebooks into exercises/
grades: $(STAMPS)/grades ## Autograde the sample class and print its grades
	@$(BIN)/python -m grading table

test: book $(STAMPS)/exercises $(STAMPS)/npm-test ## Run all tests
	@echo "Running the tests ..."
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

test-book: book $(STAMPS)/npm-test ## Try the built book in a browser (4 minutes; part of `make test`)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup tests/browser

hub: $(STAMPS)/install $(STAMPS)/npm-test ## Take a class through a JupyterHub, in a browser (3 minutes; as root)
	@$(BIN)/python -m pytest -m hub tests/browser/hub

notebooks-alone: $(STAMPS)/install ## Execute the chapters' notebooks where the course is not (30 minutes)
	@$(BIN)/python tests/notebooks_alone.py

pdf: book ## Print the whole book as a PDF, and look at it (5 minutes)
	@echo "Printing the book ..."
	@$(BIN)/python tools/pdf.py
	@$(BIN)/python -m pytest -m pdf tests/browser/test_pdf.py

zip: book ## Pack the pages, for reading without the internet
	@$(BIN)/python tools/offline.py

lighthouse: book $(STAMPS)/npm-test ## Have Lighthouse judge the front page and the heaviest chapter
	@$(BIN)/python tests/browser/lighthouse.py

mutants: $(STAMPS)/install ## Break the library on purpose; the tests must notice (6 minutes)
	@$(BIN)/python -m pytest -m mutants -n 2

hostile: $(STAMPS)/install ## Attack the grader, in both sandboxes (5 minutes)
	@$(BIN)/python -m pytest -m hostile -n 2 --dist loadgroup
	@$(ATTACKED) > tests/hostile/passed

hostile-if-changed: ## Attack the grader, unless this very grader has passed
	@if $(ATTACKED) | cmp -s - tests/hostile/passed; \
	then echo "The grader and the attacks are those that passed before."; \
	else $(MAKE) hostile; fi

grader-report: $(STAMPS)/install ## Try the checks on all known wrong and right answers
	@$(BIN)/python tests/grader_report.py

bench: $(STAMPS)/install ## Time the norms beside torch (3 minutes; on a quiet machine)
	@$(BIN)/python benchmarks/cpu.py

test-gpu: $(STAMPS)/install ## Test the CUDA kernels on this machine's GPU
	@$(BIN)/python -m pytest -m gpu -rs tests/test_gpu.py || [ $$? = 5 ]  # 5: all skipped

bench-gpu: $(STAMPS)/install ## Time the CUDA kernels beside torch on this machine's GPU
	@$(BIN)/python benchmarks/gpu.py

bench-grader: $(STAMPS)/install ## Time the grader beside stock nbgrader (15 minutes)
	@$(BIN)/python benchmarks/grader.py

bench-sets: $(STAMPS)/install ## Time the grading of one learner's problem sets (2 minutes)
	@$(BIN)/python benchmarks/sets.py

lint: $(STAMPS)/install ## Check style (ruff), spelling (codespell), what GitHub reads (its schemas)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/codespell
	@check() { $(BIN)/check-jsonschema -q --builtin-schema vendor.$$@; } && \
	  check github-workflows .github/workflows/*.yml && \
	  check dependabot .github/dependabot.yml && \
	  check github-issue-forms .github/ISSUE_TEMPLATE/*.yml && \
	  check citation-file-format CITATION.cff

links: book ## Try every link of the book (needs the internet)
	@$(BIN)/jupyter-book build . --builder linkcheck

format: $(STAMPS)/install ## Format the code (ruff)
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

serve: book ## Serve the book on localhost (PORT=8000)
	@echo "The book is on http://localhost:$(PORT) (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: $(STAMPS)/exercises ## Open a copy of the student notebooks (work/) in JupyterLab
	@mkdir -p work && for set in exercises/*; do \
	  test -e work/$$(basename $$set) || cp -R $$set work/; done
	@$(BIN)/jupyter lab --notebook-dir work $(if $(filter 0,$(shell id -u)),--allow-root)

clean: ## Remove everything generated but the student notebooks (work/ stays too)
	rm -rf .venv _build *.egg-info .hypothesis .pytest_cache .ruff_cache

$(STAMPS)/install: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' 2>/dev/null \
	  || { echo "The course needs Python 3.11 or newer; '$(PYTHON)' is" \
	       "$$($(PYTHON) --version 2>/dev/null || echo missing). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing pinned packages into .venv (a minute or two after the download) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# Kernels are quiet: they warn at every start that they listen on localhost.
	@mkdir -p .venv/etc/ipython && echo 'c.IPKernelApp.log_level = "ERROR"' \
	  > .venv/etc/ipython/ipython_kernel_config.py
	@rm -rf _build/.doctrees _build/html  # another version may make other pages
	@mkdir -p $(@D) && touch $@

# What typesets formulas; without npm, readers' browsers get it from its public address.
$(STAMPS)/npm: package.json package-lock.json
	@rm -rf _build/static && mkdir -p $(@D) _build/npm _build/static/mathjax
	@cp $^ _build/npm
	@if npm ci --prefix _build/npm --omit dev $(NPM_QUIETLY) > _build/npm.log 2>&1; \
	then cp _build/npm/node_modules/mathjax/es5/output/chtml/fonts/woff-v2/* \
	  _build/static/mathjax && touch $@; \
	else echo "npm did not get MathJax (_build/npm.log): formulas will need the internet."; fi

# What looks at the pages: not needed to build them.
$(STAMPS)/npm-test: package.json package-lock.json
	@mkdir -p $(@D) _build/npm-test && cp $^ _build/npm-test
	@if npm ci --prefix _build/npm-test $(NPM_QUIETLY) > _build/npm-test.log 2>&1; \
	then touch $@; \
	else echo "npm did not get what looks at pages (_build/npm-test.log): no such tests."; fi

$(STAMPS)/book: $(STAMPS)/exercises $(LIBRARY) $(EXPERIMENTS) $(CHAPTERS) | $(STAMPS)/npm
	@echo "Executing the pages that have changed (a few minutes from nothing) ..."
	@$(BIN)/python tools/execute_pages.py
	@echo "Building the book ..."
	@$(BIN)/jupyter-book build . -W --keep-going -n > _build/book.log 2>&1 \
	  || { cat _build/book.log; rm -rf _build/.doctrees; exit 1; }  # warn again next time
	@touch $@

$(STAMPS)/exercises: $(STAMPS)/install $(LIBRARY) $(SETS) $(GRADER)
	@echo "Generating the student notebooks ..."
	@$(BIN)/python -m grading exercises
	@mkdir -p $(@D) && touch $@

$(STAMPS)/grades: $(STAMPS)/exercises $(CLASS)
	@echo "Grading the sample class ..."
	@$(BIN)/python -m grading sample
	@touch $@
