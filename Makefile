# All of it needs Go; make lint, generate and breaking build their tools, which tools/go.mod pins.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

GO ?= go
# The first port that the demos try.
PORT ?= 5678
# How long each fuzz target runs.
FUZZTIME ?= 20s
# How many seeds make sim runs; PARLEY_SEED=n is the first.
SIM_SEEDS ?= 10000

TMP := .tmp
BIN := $(TMP)/bin
TOOL := $(GO) tool -modfile=tools/go.mod
BUF := $(TOOL) buf
TESTDATA := cmd/protoc-gen-go-parley/internal/testdata
# The protocol as it was published, for make breaking.
IMAGE := tools/image/parley-v1-r1.binpb
# Hand-written and generated Go files; testdata is what other modules and packages are made of.
GO_DIRS := $(wildcard *.go) bench client cmd endpoint examples gen internal otel policy prometheus server
# The modules in this tree beside the one of the library, which it must not depend on.
MODULES := bench otel prometheus
# The race detector needs a C compiler.
RACE := $(if $(shell command -v gcc clang 2>/dev/null),-race)

.PHONY: help
help: ## Describe the useful targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-16s %s\n", $$1, $$2}'

.PHONY: all
all: build lint check-generate breaking test ## Build, lint and test

.PHONY: build
build: ## Build everything; the example programs go to .tmp/bin
	$(GO) build ./...
	$(GO) build -o $(BIN)/ ./cmd/... ./examples/...

.PHONY: test
test: race-note ## Run all tests, with the race detector
	$(GO) vet ./...
	$(GO) test $(RACE) -timeout 5m ./...
	$(GO) -C otel test $(RACE) -timeout 2m ./...
	$(GO) -C prometheus test $(RACE) -timeout 2m ./...

.PHONY: race-note
race-note:
	@$(if $(RACE),:,echo "make: no C compiler, so the tests run without the race detector")

.PHONY: cases
cases: race-note ## List the cases of Spark's behaviour with their tests and results; fail on a gap
	{ $(GO) test $(RACE) -json ./internal/semantics ./endpoint ./internal/mailbox ./examples/cluster; \
	$(GO) test $(RACE) -json ./internal/semantics -tls; } | $(GO) run ./internal/casetable

.PHONY: soak
soak: ## Run the long tests, which have the build tag soak
# Without the race detector: with it two processors do not keep a thousand sessions and a million asks alive. The same test of fewer has it, in make test.
	$(GO) test -timeout 30m -count=1 -tags soak -run Soak ./...

.PHONY: chaos
chaos: ## Break connections at random for CHAOS_S seconds, and check that nothing is lost, repeated or reordered
	@$(GO) build -o $(TMP)/chaos ./internal/chaos && $(TMP)/chaos

.PHONY: sim
sim: ## Simulate sessions whose streams are cut, SIM_SEEDS times, and the mutants that the simulator must catch
	@mkdir -p $(TMP)
	PARLEY_SEEDS=$(SIM_SEEDS) $(GO) test -count=1 -timeout 10m -v -run '^Test(Simulation|Mutants)' ./internal/session | tee $(TMP)/sim.log
	@grep '^sim: seeds=' $(TMP)/sim.log

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@# Go spends a minute on making an input smaller, unless told otherwise, and fails if the time is over meanwhile.
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ {name[n++] = $$1} /^ok/ {for (i = 0; i < n; i++) print $$2, name[i]; n = 0}' | \
	while read -r package target; do \
		echo "fuzz $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$package" </dev/null; \
	done

.PHONY: bench
bench: ## Measure Parley beside stock grpc-go and other frameworks, and print the ratios
	$(GO) -C bench run .

.PHONY: bench-report
bench-report: ## Measure for a quarter of an hour, and write docs/benchmarks.md with its figures
	$(GO) -C bench run . -report ../docs

.PHONY: bench-guard
bench-guard: ## Measure for a minute, and fail if a ratio to grpc-go or an allocation is across its bound in bench/floors.txt
	$(GO) -C bench run . -guard floors.txt

.PHONY: demo
demo: programs ## Run the SayHi server, and its client on the same port
	@$(BIN)/demo -bin $(BIN) -port $(PORT) sayhi

.PHONY: demo-cluster
demo-cluster: programs ## Run a master and two workers, kill some, and see them come back
	@$(BIN)/demo -bin $(BIN) -port $(PORT) cluster

.PHONY: demo-secure
demo-secure: programs ## Run a server with mutual TLS and a policy, and clients that are allowed more or less
	@$(BIN)/secure

.PHONY: stock
stock: programs $(TMP)/stock/ready ## Reach the SayHi server from Python and Node by stock gRPC, and by hand
	@PARLEY_ROOT=. PARLEY_PYTHON=$(TMP)/stock/python/bin/python PARLEY_NODE=node NODE_PATH=$(TMP)/stock/node_modules \
		$(BIN)/demo -bin $(BIN) -port $(PORT) stock

.PHONY: grpcurl
grpcurl: programs ## List, describe and call the SayHi server with grpcurl
	@$(GO) build -modfile=tools/go.mod -o $(BIN)/grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl
	@$(BIN)/demo -bin $(BIN) -port $(PORT) grpcurl

$(TMP)/stock/ready: examples/stock/requirements.txt examples/stock/package-lock.json
	@rm -rf $(TMP)/stock && mkdir -p $(TMP)/stock
	python3 -m venv $(TMP)/stock/python
	$(TMP)/stock/python/bin/pip install --quiet --disable-pip-version-check --requirement examples/stock/requirements.txt
	cp examples/stock/package.json examples/stock/package-lock.json $(TMP)/stock/
	cd $(TMP)/stock && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: programs
programs:
	@$(GO) build -o $(BIN)/ ./examples/...

.PHONY: lint
lint: ## Look for mistakes: vet, staticcheck, gofmt, buf lint, go mod tidy
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	@unformatted=$$(gofmt -l $(GO_DIRS)); if [[ -n "$$unformatted" ]]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(BUF) lint
	$(BUF) format --diff --exit-code
	$(GO) mod tidy -diff
	for module in $(MODULES); do $(GO) -C $$module vet ./... || exit 1; $(GO) -C $$module mod tidy -diff || exit 1; done

.PHONY: generate
generate: ## Generate the Go code of api, and the golden files of the generator
	$(BUF) lint
	$(BUF) generate --clean
	cd cmd/protoc-gen-go-parley && $(GO) test -count=1 -run TestGolden -update .

.PHONY: check-generate
check-generate: ## Fail if the generated code is not what make generate makes
	@rm -rf $(TMP)/check-generate && mkdir -p $(TMP)/check-generate
	@tar -cf - --exclude=./.git --exclude=./$(TMP) . | tar -xf - -C $(TMP)/check-generate
	@$(MAKE) -C $(TMP)/check-generate generate
	@for dir in gen $(TESTDATA); do diff -r "$$dir" "$(TMP)/check-generate/$$dir" || { echo "$$dir is stale: run make generate"; exit 1; }; done
	@rm -rf $(TMP)/check-generate

.PHONY: breaking
breaking: ## Fail if the protocol is not compatible with what was published
	$(BUF) breaking --against $(IMAGE)

.PHONY: freeze
freeze: ## Make the protocol of the working tree the published one
	mkdir -p $(dir $(IMAGE))
	$(BUF) build --path api/parley/v1 --exclude-source-info -o $(IMAGE)
