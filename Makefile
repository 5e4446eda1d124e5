# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PLATFORM ?= github
PROGRAMS := vault-plugin-secrets-ci citoken
SOURCES := $(shell git ls-files '*.go' go.mod go.sum 2>/dev/null)
# What a real Vault or a real Gitea is needed for; the rest is quick.
SLOW := bootstrap/acceptance|bootstrap/world|bootstrap/bench|bootstrap/demo|bootstrap/agent|bootstrap/pipelines|providers/gitea|scripts/
QUICK = $(shell go list ./... | grep -vE '/($(SLOW))')

.PHONY: help build vault gitea tools fmt vet lint vuln tidy check test demo bench fuzz dist clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(PROGRAMS:%=bin/%) ## Build the plugin and citoken into bin/

bin/%: $(SOURCES)
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/$*

vault: ## Find a Vault on PATH, or build one into bin/ (7 minutes, once)
	@scripts/build-vault.sh

gitea: ## Find a Gitea on PATH, or build one into bin/ (5 minutes, once)
	@scripts/build-gitea.sh

tools: ## Find linters on PATH, or build them into bin/ (5 minutes, once)
	@scripts/build-tools.sh

fmt: ## Is everything formatted?
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; }

vet: ## go vet
	@go vet ./...

lint: tools ## golangci-lint with .golangci.yml; shellcheck where there is one
	@PATH="$$PWD/bin:$$PATH" golangci-lint run ./...
	@if command -v shellcheck >/dev/null; then shellcheck $$(git ls-files '*.sh'); else echo "shellcheck: not on PATH, left out"; fi

vuln: tools ## govulncheck, where its database can be reached
	@scripts/vuln.sh

tidy: ## Is go.mod tidy?
	@go mod tidy -diff

check: fmt vet ## The inner loop: format, vet and the quick tests
	@go test $(QUICK)

test: build vault gitea fmt vet tidy lint vuln ## All that CI runs: every check and every test, on real parts
	@go test -race -timeout 30m ./...
	@FUZZTIME=500000x scripts/fuzz.sh backend/identity backend/glob

demo: build ## The main job end to end: a real Vault, no account needed (PLATFORM=github, gitlab or gitea)
	@scripts/build-vault.sh
	@if [ "$(PLATFORM)" = gitea ]; then scripts/build-gitea.sh; fi
	@go run ./bootstrap/demo -platform "$(PLATFORM)"

bench: build vault ## Measure against the floor and print every bar (BENCH="-h" for its flags)
	@go run ./bootstrap/bench $(BENCH)

fuzz: ## Fuzz what reads bytes from outside (FUZZTIME=1m for each)
	@scripts/fuzz.sh

dist: ## Build the release: programs for the usual systems, checksums, SBOM
	@scripts/dist.sh

clean: ## Remove what was built, but not Vault, Gitea and the linters
	rm -rf $(PROGRAMS:%=bin/%) dist
