# What a developer types. `make` alone lists it.

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tagscope
# Keyed by version: a new one is installed beside the old.
deny := $(cache)/cargo-deny-0.20.2/bin/cargo-deny
machete := $(cache)/cargo-machete-0.9.2/bin/cargo-machete
fuzzer := $(cache)/cargo-fuzz-0.13.1/bin/cargo-fuzz

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test soak lint fuzz generate build bench

help: ## List these
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Run it with a real kube-apiserver and registry on this machine, until Ctrl-C
	@tests/bin/run

test: ## Run all tests, the end-to-end ones against a real kube-apiserver, etcd and registry
	@tests/bin/control-plane build >/dev/null
	@tests/bin/flux build >/dev/null
	@tests/bin/clients build >/dev/null
	@tests/bin/mirror build >/dev/null
	cd tests/cluster && go test ./launch
	cd tests/registry && go test ./seed
	cd tests/clients && CGO_ENABLED=0 go test -trimpath . # Compiled already, like that.
	cargo test
	@# What Flux's users have: its definitions in place of ours.
	eval "$$(tests/bin/flux build)" && TAGSCOPE_DEFINITIONS=$$FLUX_CONFIG/crd/bases cargo test --test e2e -- \
		main_job:: governance:: events:: shards:: counts:: bad_registry::

soak: ## Churn, kills, cut connections and new certificates for TAGSCOPE_SOAK_MINUTES (20), and what that leaks
	@tests/bin/control-plane build >/dev/null
	@tests/bin/clients build >/dev/null
	cargo test --test e2e soak:: -- --ignored --nocapture

lint: $(deny) $(machete) ## Check format, lints, licences, sources and unused dependencies
	cargo fmt --check
	! gofmt -d tests | grep .
	cargo clippy --all-targets -- -D warnings
	$(deny) check bans licenses sources
	$(machete)

fuzz: $(fuzzer) ## Fuzz the parsers of untrusted input, each for FUZZ_SECONDS (20)
	fuzz/run $(fuzzer) $(cache)/fuzz

generate: ## Write anew what is generated: the CRDs and the golden files
	tests/bin/generate

build: ## Build the release binary
	cargo build --release

bench: ## Measure memory, elections, scans and lists, and the whole job against a real kube-apiserver
	@tests/bin/control-plane build >/dev/null
	cargo bench --profile fast
	benches/mirror/compare all

$(cache)/cargo-%:
	@# .../cargo-deny-0.20.2/bin/cargo-deny is what `cargo install cargo-deny --version 0.20.2` installs.
	cargo install --locked --root $(patsubst %/bin/,%,$(dir $@)) \
		$(notdir $@) --version $(patsubst $(notdir $@)-%,%,$(notdir $(patsubst %/bin/,%,$(dir $@))))
