# What a person runs, one target each; the work is in scripts/ and Cargo's.

PREFIX  ?= /usr/local
DESTDIR ?=
# How many containers the memory benchmark has at once.
COUNTS  ?= 50

# As in scripts/build.sh.
BIN := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/gantry/bin

.DEFAULT_GOAL := help
.PHONY: help setup build run test bench stress fuzz faults check lint docs deb clean install root

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and testing need, or say what is missing
	@scripts/setup.sh test

build: ## Build the release binaries into target/gantry/bin
	@scripts/setup.sh build
	@scripts/build.sh

run: root build ## Build, then see a private daemon run its first containers (root)
	@scripts/tour.sh

test: root setup lint build ## Everything that CI runs: setup, lints, build, all tests, the packages (root)
	@scripts/deny.sh
	@scripts/test.sh
	@if command -v dpkg-deb >/dev/null; then scripts/deb.sh && scripts/deb-check.sh; \
	else echo "test: there is no dpkg-deb: the packages are not tried"; fi

bench: root ## Measure memory and throughput beside containerd and conmon (root; COUNTS="50 1000")
	@scripts/setup.sh bench
	@scripts/build.sh
	@python3 benches/memory.py $(COUNTS)
	@python3 benches/throughput.py

stress: root ## Random operations and faults for a while, then a strict account (root; MINUTES=1 SEED=7)
	@scripts/setup.sh build
	@scripts/build.sh
	@MINUTES=$(or $(MINUTES),1) SEED=$(SEED) scripts/stress.sh

fuzz: ## Fuzz what reads bytes from outside, a minute each (SECONDS=60 TARGETS="bundle words")
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

faults: root ## Kill daemon, shim and runtime at each failpoint, and print what became of it (root)
	@scripts/faults.sh $(PART)

check: ## Type-check everything, quickly
	cargo check --locked --workspace --all-targets

lint: ## Check the formatting, and clippy without any warning
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

docs: ## Write man pages, completions and the default configuration into target/gantry/docs
	@scripts/docs.sh $(dir $(BIN))docs

deb: root build ## Make Debian packages in target/gantry/deb, and try them in an empty root (root)
	@scripts/deb.sh
	@scripts/deb-check.sh

clean: ## Remove everything that was built, and .cache
	cargo clean
	rm -rf .cache $(BIN)

install: build ## Install the binaries into $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(BIN)/* $(DESTDIR)$(PREFIX)/bin

# Containers need root; better said before the build than after it.
root:
	@[ "$$(id -u)" = 0 ] || { echo "Containers need root: run this as root, for example with sudo." >&2; exit 1; }
