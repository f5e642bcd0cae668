# `make` lists the targets. Go, git and make suffice for demo and test; check
# installs what else it needs (gcc, systemd, socat, prometheus) with apt-get if it can.
SHELL        := /bin/bash
.SHELLFLAGS  := -euo pipefail -c
GO           ?= go
FUZZTIME     ?= 30m
BIN          := bin/shmbus
FALLBACKS    := shm.noexecseal shm.waitv shm.membarrier control.peerpidfd control.passrights
NATIVE       := CGO_ENABLED=0
PERFORMANCE   = $(NATIVE) $(GO) run ./bench/cmd/performance
# $(call need,program,packages): the program is there, or is installed
need = command -v $(1) >/dev/null || { apt-get update -qq && apt-get install -yqq --no-install-recommends $(2); } >/dev/null

.PHONY: help build demo test test-full test-steps test-arm64 check fmt vet staticcheck house race fallbacks cross units prometheus browser-test web docs-test bench bench-peers peers performance plots tricks model fuzz test-storm soak mutants man clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/shmbus
	$(NATIVE) $(GO) build -o $(BIN) ./cmd/shmbus
demo: build ## send the Go source tree from one process to three, and check every digest
	$(BIN) demo "$$($(GO) env GOROOT)/src"
test: ## run the tests
	$(NATIVE) $(GO) test -timeout 30m ./...
check: fmt vet staticcheck house test race fallbacks cross units prometheus docs-test ## all that CI runs

fmt: ## complain about files gofmt would change
	@out="$$(gofmt -l .)"; test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
vet: ## go vet, with and without failpoints
	$(NATIVE) $(GO) vet ./...
	$(NATIVE) $(GO) vet -tags failpoint ./...
staticcheck: ## staticcheck, at the version go.mod pins
	$(NATIVE) $(GO) tool staticcheck ./...
house: ; $(NATIVE) $(GO) test ./internal/lint ## the house rules (internal/lint)
race: ## the tests under the race detector (needs gcc)
	@$(call need,gcc,gcc libc6-dev)
	CGO_ENABLED=1 $(GO) test -race -timeout 30m $$($(GO) list ./... | grep -vE "/(model|bench|hostile|histories)$$") # one goroutine; memory the detector cannot see, which others write
fallbacks: ## the tests with each kernel feature taken away in turn, then without the road in assembly
	@for f in $(FALLBACKS); do echo "without $$f"; \
	  SHMBUS_FAILPOINTS=$$f=on $(NATIVE) $(GO) test -count=1 -tags failpoint ./shm ./ring ./control ./bus || exit 1; done; echo "without assembly"; $(NATIVE) $(GO) test -count=1 -tags shmbus_portable ./ring ./bus
cross: ## build and vet for linux/arm64 and darwin/arm64
	for os in linux darwin; do export GOOS=$$os GOARCH=arm64 $(NATIVE); $(GO) vet ./... && $(GO) build ./... || exit 1; done
units: build ## verify the systemd units, and that topics outlive a restart of the host
	@$(call need,systemd-analyze,systemd)
	packaging/systemd/verify $(BIN) && packaging/systemd/store $(BIN)
prometheus: ; @$(call need,prometheus,prometheus); SHMBUS_PROMETHEUS=1 $(NATIVE) $(GO) test -count=1 ./metrics ## a real Prometheus scrapes a bus and answers every panel; promtool checks rules and alerts
browser-test: build ; @$(call need,chromium,chromium fonts-dejavu-core); $(call need,npm,nodejs npm); web/browser/run $(BIN) $(SCREENSHOTS) ## Debian's chromium uses the page of `shmbus http` (SCREENSHOTS=docs/screenshots: and takes pictures)
web: ; @$(call need,npm,nodejs npm); web/browser/packages refresh ## copy uPlot from npm, as web/browser/package-lock.json has it, into web/page/vendor
docs-test: build ## run every fenced command and program of the documents
	@$(call need,socat,socat); $(call need,curl,curl); $(call need,prometheus,prometheus)
	$(NATIVE) $(GO) run ./internal/tools/docstest -bin bin README.md SECURITY.md docs/*.md
bench: build ## measure shmbus against what else there is (BENCHFLAGS: see bin/shmbus bench --help)
	$(BIN) bench $(BENCHFLAGS)
bench-peers: build peers ## the same with iceoryx, Boost, ZeroMQ, nng and a bare ring in C
	$(BIN) bench --peers bin/peers $(BENCHFLAGS)
peers: ## install what the programs of bench/peers need, and build them
	$(MAKE) -C bench/peers install && $(MAKE) -C bench/peers OUT=$(CURDIR)/bin/peers
performance: build peers ## measure all of docs/performance.md and write it (half an hour; goes on where it was interrupted)
	$(PERFORMANCE) measure && $(PERFORMANCE) write
plots: build ## tables, pictures, targets and disassembly of docs/performance.md, from its results
	$(PERFORMANCE) write
tricks: build ## measure what each trick of the ring buys, for docs/performance.md
	$(PERFORMANCE) measure tricks && $(PERFORMANCE) write
model: ## explore every scene of the ring's model, and every mistake it must notice (hours)
	$(NATIVE) $(GO) run ./model/cmd/explore -all
fuzz: ## run each fuzz target for FUZZTIME (30m)
	for f in control/FuzzControlMessages web/FuzzIncoming; do $(GO) test ./$${f%/*} -run '^$$' -fuzz "^$${f#*/}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s || exit 1; done
	for f in FuzzReader FuzzAttach FuzzRepair; do $(GO) test ./ring -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s || exit 1; done
test-storm: ; k=$(or $(KILLS),2000) s=./internal/storm/cmd/storm; for f in "$$s -kills $$k -stops $$((k/10))" "$$s -hosts -arenas 1 -stops 0 -kills $$((k/100))" "$$s -steady -stops 0 -kills $$((k/10))" "-tags failpoint $$s -inside -kills 0 -stops $$((k/10))"; do $(NATIVE) $(GO) run $$f || exit 1; done ## kill KILLS (2000) processes at random; then hosts; a host's clients; stop inside the lock
soak: ; $(NATIVE) $(GO) run ./internal/storm/cmd/storm -duration $(or $(DURATION),1h) ## load, kills, stops and churn for DURATION (1h): a line a minute, a verdict
test-arm64: ## run the tests of shm and ring for arm64 under qemu (root: registers the emulator)
	@$(call need,qemu-aarch64-static,qemu-user-static)
	packaging/emulate aarch64
	GOOS=linux GOARCH=arm64 $(NATIVE) SHMBUS_EMULATED=1 $(GO) test -count=1 ./shm ./ring
test-steps: ## kill participants of a ring at every instruction boundary of their calls (15 minutes)
	$(NATIVE) $(GO) test -count=1 -timeout 60m -v -run '^TestEnumeratedDeath$$' ./internal/steps -every 1
test-full: ; SHMBUS_FULL=1 $(NATIVE) $(GO) test -count=1 -timeout 170m ./... ## run the long tests too (an hour or more)
man: build ; packaging/share $(BIN) bin/share ## man pages and shell completions, into bin/share
clean: ; rm -rf bin ## remove what was built
mutants: ; $(NATIVE) $(GO) run ./internal/mutants ## take each defence away, and see that a test notices
