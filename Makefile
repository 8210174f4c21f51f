# Everything a person or a machine does with Plimsoll. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Two jobs by default: the project is built for small machines. `make JOBS=8 build` for others.
JOBS ?= 2
SWIFT_FLAGS := -j $(JOBS)
SOURCES := Sources jobs sql Tests Package.swift $(wildcard Benchmarks/Sources Benchmarks/Package.swift)
# The C++ library of the Swift runtime comes in as well: loading it takes longer than all else that
# a start needs of it. A folder that holds only the archive makes the linker take that.
STATIC_LIBRARIES := .build/static
RELEASE := mkdir -p $(STATIC_LIBRARIES) \
  && ln -sf "$$(g++ -print-file-name=libstdc++.a)" $(STATIC_LIBRARIES)/ \
  && swift build -c release --static-swift-stdlib -Xlinker -L$(CURDIR)/$(STATIC_LIBRARIES) \
    $(SWIFT_FLAGS)
# Tests that hang are stopped; the limit leaves room for a first build.
TEST_MINUTES ?= 25

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

.PHONY: bootstrap
bootstrap:
	@scripts/bootstrap

.PHONY: python
python: bootstrap
	@scripts/python-environment

.PHONY: build
build: bootstrap ## build for development
	swift build $(SWIFT_FLAGS)

.PHONY: release
release: bootstrap ## build the program to deploy: .build/release/plimsoll
	$(RELEASE) --product plimsoll

.PHONY: demo
demo: python release ## play two days of August 2023 against a chain of its own
	@.venv/bin/python -m devchain.demo --program .build/release/plimsoll $(if $(SEED),--seed $(SEED))

.PHONY: test
test: python ## run all tests, of Swift and of the dev chain
	timeout $(TEST_MINUTES)m .venv/bin/python -m unittest discover --start-directory devchain/tests --top-level-directory .
	timeout $(TEST_MINUTES)m swift build --build-tests $(SWIFT_FLAGS)
	timeout $(TEST_MINUTES)m swift test --skip-build $(if $(FILTER),--filter $(FILTER))

.PHONY: test-long
test-long: ## run the tests in their long form: more seeds, every step of a crash, more rounds
	PLIMSOLL_TEST_LONG=1 $(MAKE) test TEST_MINUTES=240

.PHONY: test-kills
test-kills: python ## kill a thousand runs at random moments (twenty minutes)
	PLIMSOLL_TEST_LONG=1 swift test $(SWIFT_FLAGS) --filter CrashLoopTests/survivesRandomKills

.PHONY: test-reorgs
test-reorgs: ## follow ten thousand random forks (a quarter of an hour)
	PLIMSOLL_TEST_LONG=1 swift test $(SWIFT_FLAGS) --filter ReorgSeedTests

.PHONY: check
check: bootstrap ## formatting, the list of guards, warnings as errors, and the arrows between modules
	swift format lint --strict --recursive $(SOURCES)
	scripts/guards --check
	swift build $(SWIFT_FLAGS) --build-tests --explicit-target-dependency-import-check error

.PHONY: guards
guards: python ## take away one guard after the other: its tests must fail (half an hour)
	scripts/guards --jobs $(JOBS)

.PHONY: fmt
fmt: ## format the Swift sources in place
	swift format --in-place --recursive $(SOURCES)

.PHONY: bench
bench: python release ## make the figures of docs/performance.md again
	swift run --package-path Benchmarks -c release $(SWIFT_FLAGS) bench quantities health
	scripts/bench

.PHONY: dev
dev: release ## start the private database and bring its schema up
	.build/release/plimsoll dev start
	PLIMSOLL_DATABASE=private .build/release/plimsoll migrate

.PHONY: clean
clean: ## remove what was built; the private database stays
	rm -rf .build .venv Benchmarks/.build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
