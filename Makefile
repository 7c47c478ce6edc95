# make            builds bin/servald and the example programs
# make demo       discovery, transfer, killed replicas; downloads while the network breaks
# make demos      every scenario of moves and failures, with a plot of each (root)
# make test       everything that must pass; make race, lint, cross are the rest
# make bench      tables against TCP, TLS, QUIC and WireGuard (root: namespaces)
# make bench-failover, make matrix   what connections do while networks break (root)
# make bench-services, make demo-services   many instances behind one name
# make programs, make bench-legacy   real programs that know nothing of Serval (root)

GO      ?= go
BIN     := bin
SOURCES := $(shell git ls-files '*.go') go.mod go.sum
OUT     := out
FUZZ    ?= 10s

export GOFLAGS := -mod=mod
export CGO_ENABLED ?= 0

.PHONY: all build demo demos test race fuzz lint cross bench bench-quick bench-failover matrix bench-services demo-services programs bench-legacy table setup clean

all: build

build: $(BIN)/servald $(BIN)/web $(BIN)/echo $(BIN)/greeter $(BIN)/h3

$(BIN)/servald: $(SOURCES)
	$(GO) build -trimpath -o $@ ./servald
$(BIN)/%: $(SOURCES)
	$(GO) build -trimpath -o $@ ./apps/$*
$(BIN)/greeter: $(SOURCES)
	$(GO) build -trimpath -o $@ ./apps/grpc

demo: build
	./scripts/demo.sh

# All scenarios of docs/demos.md, about five minutes; DEMOS="vm roaming" for some.
DEMOS ?= all
demos: setup
	$(GO) build -trimpath -o $(BIN)/demo ./interop/demo
	$(BIN)/demo -out $(OUT) $(DEMOS)

test: setup
	@./interop/setup.sh test || echo "the programs that are missing will be left out"
	$(GO) vet ./...
	$(GO) test -timeout 10m ./...
	$(MAKE) race

race:
	@if command -v gcc >/dev/null || command -v cc >/dev/null; then \
	  set -x; CGO_ENABLED=1 $(GO) test -race -short -timeout 10m ./...; \
	else echo "skipped the race detector: it needs a C compiler"; fi

# Every fuzz target for $(FUZZ); make test runs their seeds.
fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep ^Fuzz); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) $$p || exit 1; \
	  done; done

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# Everything that is not TUN or namespaces builds on these systems.
cross:
	@for t in darwin/arm64 windows/amd64 freebsd/amd64 linux/arm64; do \
	  echo "build $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) build ./... || exit 1; done

setup:
	@./interop/setup.sh || echo "the tests that need namespaces will be skipped"

bench: setup
	@mkdir -p $(OUT)
	$(GO) run ./interop/bench --out $(OUT)/bench.jsonl

bench-quick: setup
	@mkdir -p $(OUT)
	$(GO) run ./interop/bench --quick --out $(OUT)/bench.jsonl

# What connections do while networks break: about half an hour; FAILOVER=-quick
# for a look.
bench-failover: setup
	@mkdir -p $(OUT)
	$(GO) build -trimpath -o $(BIN)/failover ./interop/failover
	$(BIN)/failover $(FAILOVER) --out $(OUT)/failover.jsonl

# Every way in which either end or both can move, as docs/matrix.md.
matrix: setup
	@mkdir -p $(OUT)
	$(GO) build -trimpath -o $(BIN)/matrix ./interop/matrix
	$(BIN)/matrix $(MATRIX) --out $(OUT)/matrix.jsonl --page docs/matrix.md

# The service layer: lookups, routers, restarts, crashes, short requests beside
# nginx and HAProxy; about ten minutes, SERVICES=-quick for a look.
bench-services:
	@./interop/setup.sh services
	@mkdir -p $(OUT)
	$(GO) build -trimpath -o $(BIN)/services ./interop/services
	$(BIN)/services $(SERVICES) --out $(OUT)/services.jsonl

# Services whose instances come and go, each with a plot; about two minutes.
SERVICE_DEMOS ?= web cache
demo-services:
	@./interop/setup.sh services
	$(GO) build -trimpath -o $(BIN)/services-demo ./interop/services/demo
	$(BIN)/services-demo -out $(OUT) $(SERVICE_DEMOS)

# Real programs that know nothing of Serval, as docs/programs.md: about ten minutes;
# PROGRAMS="-programs curl,ssh" for some.
programs:
	@./interop/setup.sh programs || echo "the programs that are missing will be left out"
	@mkdir -p $(OUT)
	$(GO) build -trimpath -o $(BIN)/programs ./interop/legacy/programs
	$(BIN)/programs $(PROGRAMS) --out $(OUT)/programs.jsonl --page docs/programs.md

# The same programs beside TCP and servald perf; about a quarter of an hour,
# LEGACY=-quick for a look.
bench-legacy:
	@./interop/setup.sh programs || echo "the programs that are missing will be left out"
	@mkdir -p $(OUT)
	$(GO) build -trimpath -o $(BIN)/legacy ./interop/legacy
	$(BIN)/legacy $(LEGACY) --out $(OUT)/legacy.jsonl

# The medians of the last make bench, as the README's table.
table:
	./scripts/bench-table.sh

clean:
	rm -rf $(BIN) $(OUT)
