# Rondo. `make help` lists what can be made.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO        ?= go
PKG       ?= ./...
BENCH     ?= .
BENCHTIME ?= 1s
FUZZTIME  ?= 10s
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# The folders whose tests have benchmarks, and the targets of the fuzzer as
# folder:name.
WITH_BENCH = $(shell grep -rlE '^func Benchmark' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
WITH_FUZZ  = $(shell grep -rhoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' /dev/null . -H | sed -E 's|/[^/]*_test.go:func |:|' | sort -u)

.PHONY: help test race faults bench lint check mission real corpus sdk build fuzz cover clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## run all tests (PKG=./ci/... for some)
	@command -v git >/dev/null || { echo "make test: git is needed and not installed" >&2; exit 1; }
	$(GO) mod download
	$(GO) test -timeout 20m $(PKG)
	@if [ "$(PKG)" = ./... ]; then cd metrics/telegraf && $(GO) test -timeout 10m ./...; fi

race: ## run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 25m $(PKG)

# Promises P1-P9 and P14-P22 are tests of these names; the long ones run with
# RONDO_FAULTS only, and RONDO_KILLS says how often servers and agents are killed.
faults: ## the promises under faults, with the long tests (RONDO_KILLS=150)
	RONDO_FAULTS=1 RONDO_KILLS=$${RONDO_KILLS:-150} $(GO) test -count=1 -timeout 12m -run 'Fault|P[0-9]+[a-z]?_|Sim|Kill|Crash|Lossy' ./...

bench: ## run the benchmarks (BENCH=regexp BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -timeout 30m $(WITH_BENCH)

fuzz: ## fuzz each parser for a while (FUZZTIME=10s)
	@export TMPDIR=$$(mktemp -d); trap 'rm -rf "$$TMPDIR"' EXIT; \
	for target in $(WITH_FUZZ); do \
		echo "== $$target"; \
		$(GO) test -run '^$$' -fuzz "^$${target##*:}\$$" -fuzztime $(FUZZTIME) "$${target%%:*}"; \
	done

lint: ## gofmt, go vet, and golangci-lint where it is installed
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' | grep -v /testdata/)); \
		if [ -n "$$unformatted" ]; then echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet $(PKG)
	@if [ "$(PKG)" = ./... ]; then cd metrics/telegraf && $(GO) vet ./...; fi
	@if command -v golangci-lint >/dev/null; then golangci-lint run $(PKG); \
		else echo "golangci-lint is not installed: gofmt and go vet only"; fi

check: lint ## lint, and go.mod lists exactly what is used
	$(GO) mod tidy -diff

mission: ## list the mission's IDs that no test names
	@scripts/mission.sh

real: ## run real projects with their own configurations
	scripts/real.sh

corpus: ## compile the real configurations, and print a table
	@$(GO) test -count=1 -v -run '^(TestPairs|TestCorpus|TestFirst|TestOrbs)$$' ./ci/config | grep -vE '^(=== |    --- PASS)'

sdk: ## compile what npm @circleci/circleci-config-sdk generates
	@scripts/sdk.sh

build: ## build the binaries into bin/
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/...
	@ls -l bin

cover: ## run all tests and say how much of the code they reach
	@mkdir -p dist
	$(GO) test -timeout 10m -coverprofile dist/cover.out $(PKG)
	@$(GO) tool cover -func dist/cover.out | tail -1

clean: ## remove what make has made
	rm -rf bin dist
