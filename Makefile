# Two commands for a new machine (Debian 12 with a Rust toolchain, as root):
#   make demo   builds everything and shows an office on this machine, in namespaces of its own
#   make test   runs every check and test there is; .ci/run does the same
# Both install what they need. KEEP=1 leaves the demo running.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO := cargo

.PHONY: demo test tools programs lint deny unit story fmt doc

demo: tools programs
	target/debug/fseg lab run office $(if $(KEEP),--keep)

test: tools lint deny unit story
	@echo "make test: everything passed"

# Debian packages that are missing; quiet and offline when there are none.
tools:
	@tools/install

programs:
	$(CARGO) build --locked --workspace --bins

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

deny:
	@tools/deny

# Unit, property and namespace tests.
unit: tools
	@tools/tests

# The demo itself: every step must go well.
story: unit
	NO_COLOR=1 target/debug/fseg lab run office

fmt:
	$(CARGO) fmt --all

doc:
	$(CARGO) doc --workspace --no-deps
