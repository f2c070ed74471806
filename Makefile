# Slipway's two commands are `make release` and `make test`; plain `make` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What to release; see `make help`.
SOURCE ?= deployments/samples/simple
BUMP ?= minor
IMAGE ?=
ARGS ?=
# What `make lock` does with versions that still fit.
UPGRADE ?= --upgrade
# What `make bench` measures; leave empty for all.
CASES ?=
RUNS ?= 5
# What `make dist` builds of; `.ci/release` names the tag's own files.
TREE ?= .
DIST ?= dist

# Processes that `make test` runs in, each with a stack of its own; a file's tests stay together.
JOBS ?= 3
CORES ?= $(shell nproc 2>/dev/null || echo 2)

# pytest keeps what it made of the tests as byte code; without, each process of theirs makes it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make release SOURCE=DIR|GIT-URL BUMP=major|minor|patch|prerelease|auto IMAGE=REGISTRY/NAME ARGS='--more options'"

setup: $(STAMP) ## install what is needed: system packages, .venv
	@PYTHON="$(PYTHON)" sh infra/local/bootstrap.sh sample

$(STAMP): requirements.lock pyproject.toml infra/local/bootstrap.sh
	@PYTHON="$(PYTHON)" sh infra/local/bootstrap.sh packages
	@PYTHON="$(PYTHON)" sh infra/local/bootstrap.sh venv
	@touch $@

release: setup ## start the embedded stack, release SOURCE and show the result
	@$(BIN)/slipway up --quiet
	@$(BIN)/slipway release "$(SOURCE)" --bump "$(BUMP)" $(if $(IMAGE),--image "$(IMAGE)") $(ARGS)

quick: $(STAMP) ## run the tests that need neither the stack nor root, in under a minute
	@$(BIN)/python -m pytest tests/unit -q -n $$(($(CORES) + 1)) --hypothesis-profile quick $(ARGS)

# What is pure, each to reach COVERED percent by branch: by the unit tests, and by the histories for planning, whose facts
# come from git and a registry. What talks to a daemon or a server is run by the contract tests.
BUILD := infra/buildkit/build
PURE := infra/domain/ infra/signing/ infra/buildkit/files/ infra/buildkit/http2/frames infra/buildkit/http2/headers \
  $(foreach file,cache error events outputs provenance record request scrub,$(BUILD)/$(file)) \
  flows/planning/ flows/bake/ flows/relay/rule flows/relay/push flows/relay/forges/
COVERED ?= 90

coverage: $(STAMP) ## show how much of each pure package its tests cover, by branch; fail below 90 %
	@$(BIN)/python -m pytest tests/unit tests/histories -q -n $(CORES) --hypothesis-profile quick --cov --cov-report= $(ARGS)
	@failed=; for each in $(PURE); do echo; echo "$$each"; \
	  $(BIN)/coverage report --show-missing --skip-covered --fail-under=$(COVERED) --include="$$each*" || failed="$$failed $$each"; \
	done; test -z "$$failed" || { echo "below $(COVERED) %:$$failed"; exit 1; }

# A virtual environment for each Python that Slipway supports and this machine has; `make pythons` names the rest.
pythons: ## run the tests of `make quick` on every supported Python of this machine
	@sh .ci/pythons $(ARGS)

lowest: $(STAMP) ## run the unit tests and one release with the lowest versions that pyproject.toml allows
	@sh .ci/lowest $(ARGS)

test: setup ## run all tests
	@sh infra/local/bootstrap.sh test-packages
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-cluster: setup ## run the tests that need a cluster, on the one of KUBECONFIG
	@sh infra/local/bootstrap.sh test-packages
	@$(BIN)/python -m pytest tests/cluster $(ARGS)

bench: setup ## compare with docker buildx; CASES="cached one-file", RUNS=5
	@sh infra/local/bootstrap.sh test-packages
	@$(BIN)/python -m compileall -q prefect_slipway flows blocks infra
	@$(BIN)/python -m tests.bench $(CASES) --runs $(RUNS) $(ARGS)

# Material announces its successor at each build (pyproject.toml says why it is not used yet). mkdocs is never --quiet: that
# hides its warnings from --strict as well.
export NO_MKDOCS_2_WARNING := 1

check: $(STAMP) ## formatter, linter, types, import contracts, generated code, the documentation's links
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m prefect_slipway.infra.buildkit.proto.generate --check
	$(BIN)/mkdocs build --strict

format: $(STAMP) ## format, and fix what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Extras stay in the lock: pip (23.2) would refuse a package that is needed with extras and pinned without, once there is a
# newer release of it.
lock: $(STAMP) ## refresh requirements.lock (versions and hashes for every supported Python); UPGRADE= keeps the versions
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
	  --no-header --no-emit-index-url --group dev --all-extras pyproject.toml $(UPGRADE) --output-file requirements.lock
	echo setuptools | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-strip-extras \
	  --no-header --no-emit-index-url --extra worker --extra telemetry \
	  --constraints requirements.lock pyproject.toml - --output-file deployments/worker/requirements.lock

docs: $(STAMP) ## write the pages of docs/ that are generated from the code
	@$(BIN)/python -m tests.docs

docs-picture: setup ## draw the README's picture of a release again, from a real one
	@$(BIN)/python -m tests.docs.picture

docs-site: $(STAMP) ## build the documentation site into site/
	@$(BIN)/mkdocs build --strict
	@echo "site/index.html"

# One folder a version on the branch gh-pages, `latest` the newest; nothing leaves the machine without `--push`.
docs-publish: $(STAMP) ## commit the site under this version to the branch gh-pages; ARGS=--push pushes it
	@$(BIN)/mike deploy --update-aliases $(ARGS) "$$(sed -n 's/^version = "\([0-9]*\.[0-9]*\).*"$$/\1/p' pyproject.toml)" latest
	@$(BIN)/mike set-default $(ARGS) latest

dist: $(STAMP) ## build wheel and sdist into DIST; the wheel is built from the sdist
	@rm -f "$(DIST)"/prefect_slipway-*
	@$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir "$(DIST)" "$(TREE)"
	@ls "$(DIST)"

up: setup ## start the embedded stack
	@$(BIN)/slipway up

down: ## stop the embedded stack
	@test ! -x $(BIN)/slipway || $(BIN)/slipway down

clean: ## stop the stack and remove its state
	@test ! -x $(BIN)/slipway || $(BIN)/slipway down --purge

.PHONY: help setup release test test-cluster quick pythons lowest coverage bench check format lock docs docs-picture docs-site docs-publish dist up down clean
