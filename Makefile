# make demo   shows a disk being repaired on this machine (ONCE=1: ends after one repair; CEPH=1: with a
#             real Ceph cluster on the disks)
# make test   installs what the tests need and runs all of them
# make build  puts nerve, synapse, repairer and glia into bin/
# make test-kill  kills the repairer at every instant of a repair; KILL_AT=17:after repeats one of them; where
#             Ceph is installed also at each step of an OSD's repair (40 minutes); KILL_STEP="done drain,begun stop" repeats some
# make test-registry  runs the contract of the registries over all of them, with real servers that it breaks
# make test-services  runs the tests of services, from what announces them through real registries to a real HAProxy
# make test-ceph  runs the tests that need a real Ceph cluster, which they start themselves
# make test-lab  runs the tests on machines in QEMU whose disks really fail
# make lab    boots such a machine, and breaks its disks as it is told; say help
# make test-people  runs the tests of tickets, access and secrets: whole repairs with a Jira and a real Redmine that fail at each
#             request, hostile calls of the API, and a search of all that programs show for secrets
# make test-vault  runs the contract of Vault over a real server, which it builds first (ten minutes; GLIA_VAULT=FILE names one that is there)
# make bench  prints the figures that the project answers for, each beside its target: ratios against a peer
#             in the same run, or times and memory, for which the machine should have nothing else to do;
#             those of Ceph, where it is installed (make test-ceph does it), on clusters that it starts, and
#             those of the lab, where QEMU is (make test-lab), on machines that it boots
# make lint   runs the linters, where librados is installed also over what is built with it
# make sim    plays SEEDS simulated lives of a fleet (default 200) with the real repairer
# make mutants  breaks the code on purpose, and shows that the simulation notices
# make generate  makes the Go code of api/ again from its protobuf definitions

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X glia.Version=$(VERSION)
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0

# The programs that ask Ceph clusters are built with librados where it is installed.
TAGS = $(shell test -e /usr/include/rados/librados.h && echo ceph)

.PHONY: all build demo test test-kill test-registry test-people test-vault test-services test-ceph test-lab lab vet bench lint generate deps deps-demo fuzz sim mutants clean

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/nerve ./cmd/synapse
	CGO_ENABLED=$(if $(TAGS),1,0) $(GO) build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/ ./cmd/repairer ./cmd/glia

deps:
	@sh internal/testbed/install.sh test

deps-demo:
	@sh internal/testbed/install.sh demo$(if $(CEPH),-ceph)

demo: deps-demo build
	bin/glia dev $(if $(CEPH),--ceph) $(if $(ONCE),--once)

# The tests below include a sample of test-kill.
test: deps vet
	$(GO) test -race -timeout 20m ./...
	@$(MAKE) --no-print-directory test-ceph
	@$(MAKE) --no-print-directory test-lab

test-kill:
	$(if $(KILL_STEP),,KILL_ALL=1 KILL_AT=$(KILL_AT) $(GO) test -count=1 -timeout 10m -v -run Killed ./internal/kill)
	$(if $(KILL_AT),,$(if $(TAGS),KILL_ALL=1 KILL_STEP='$(KILL_STEP)' $(GO) test -tags ceph -count=1 -timeout 1h -v -run 'Killed.*OSD' ./internal/dev))

test-registry: deps
	$(GO) test -race -count=1 -timeout 10m ./registry/...

test-services: deps
	$(GO) test -race -count=1 -timeout 10m ./registry/smartstack ./nerve/check ./nerve/service/... ./synapse/...
	GLIA_TEST_TRAFFIC=full $(GO) test -race -count=1 -timeout 10m -run 'Smartstack|Services|LoadSynapse' ./internal/program

# Too dear for every run: make test has the same contract over an emulator.
test-people: deps
	KILL_ALL=1 $(GO) test -race -count=1 -timeout 20m -run 'Jira|Redmine' ./repairer
	$(GO) test -race -count=1 -timeout 10m ./repairer/ticket/... ./internal/access ./internal/daemon ./internal/vault/... ./config/secret
	$(GO) test -race -count=1 -timeout 10m -run ShowNoSecrets ./internal/program

test-vault:
	$(if $(GLIA_VAULT),,sh internal/testbed/vault.sh $(CURDIR)/.cache/vault)
	GLIA_VAULT='$(or $(GLIA_VAULT),$(CURDIR)/.cache/vault/vault-v1.21.0)' $(GO) test -race -count=1 -timeout 10m -v -run RealVault ./internal/vault

# Installs Ceph first (60 MB). Needs root.
test-ceph:
	@sh internal/testbed/install.sh ceph
	@files=$$(git grep -l '^//go:build ceph' '*_test.go'); \
	tests=$$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' $$files | grep -v '^TestMain$$' | paste -sd '|'); \
	$(GO) test -race -count=1 -p 2 -timeout 40m -tags ceph -run "^($$tests)\$$" $$(echo "$$files" | xargs -n1 dirname | sort -u | sed 's,^,./,')

# Installs QEMU and a kernel first (260 MB on the disk).
test-lab:
	@sh internal/testbed/install.sh lab || echo "QEMU can not be installed: the tests of the lab are skipped"
	$(GO) test -count=1 -parallel 16 -timeout 20m -tags lab ./internal/lab

lab:
	@sh internal/testbed/install.sh lab
	$(GO) run ./internal/lab/console

vet:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags lab ./internal/lab
	$(if $(TAGS),$(GO) vet -tags ceph ./...)

bench:
	$(GO) test -p 1 -timeout 30m -tags '$(strip $(TAGS) lab)' -run '^$$' -bench . -benchtime 1s $$(git grep -l '^func Benchmark' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|') 2>&1 | $(GO) run ./internal/figures/table

# Each decoder of outside bytes, FUZZTIME each.
FUZZTIME ?= 30s
fuzz:
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || exit 1; done; done

# The real repairer in a simulated fleet: SEEDS of them from FIRST on, or one SEED, printed event by event.
SEEDS ?= 200
FIRST ?= 1
sim:
	$(GO) run ./internal/sim/simulate -first $(FIRST) -seeds $(SEEDS) $(if $(SEED),-seed $(SEED))

# Breaks the code on purpose, line by line; the simulation must notice each time. ONLY=words runs those variants whose
# name contains them, RECORD=yes keeps the seeds that have caught one, which are tried first from then on.
mutants:
	nice -n 10 $(GO) run ./internal/sim/mutants -only "$(ONLY)" $(if $(RECORD),-record internal/sim/mutants/seeds.go)

lint:
	$(GO) run $(GOLANGCI) run ./...
	$(if $(TAGS),$(GO) run $(GOLANGCI) run --build-tags '$(TAGS)' ./...)

generate: deps
	@mkdir -p .cache
	$(GO) build -o .cache/ google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
	cd api && PATH=$(CURDIR)/.cache:$$PATH protoc -I . --go_out=. --go_opt=module=glia/api --connect-go_out=. --connect-go_opt=module=glia/api glia/v1/*.proto

clean:
	rm -rf bin .cache
