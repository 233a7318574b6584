# Two commands for a new machine (Debian 12 with a Rust toolchain, as root):
#   make demo   builds everything and shows an office on this machine, in namespaces of its own
#   make test   runs every check and test there is; .ci/run does the same
# Both install what they need. KEEP=1 leaves the demo running.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO := cargo

.PHONY: deb package-test demo test soak bench tools programs lint deny unit story fmt doc

demo: tools programs
	target/debug/fseg lab run office $(if $(KEEP),--keep)

test: tools lint deny unit story package-test
	@echo "make test: everything passed"

# Random lives for as long as somebody has patience; LIVES says how many.
soak:
	FSEG_LIVES=$(or $(LIVES),2000) $(CARGO) nextest run --locked --profile soak -p fseg-control --test life random_life

# Figures, side by side with what people use today, into docs/benchmarks.md.
bench: tools
	@tools/bench

# Debian packages that are missing; quiet and offline when there are none.
tools:
	@tools/install

programs:
	$(CARGO) build --locked --workspace --bins

lint: tools
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	shellcheck tools/* packaging/grant-ovsdb packaging/debian/p*

deny:
	@tools/deny

# Unit, property and namespace tests.
unit: tools
	@tools/tests

# The demo itself: every step must go well.
story: unit
	NO_COLOR=1 target/debug/fseg lab run office

# A Debian package of a release build, in target/package.
deb:
	@tools/package

# The package installed, run under systemd, upgraded under traffic, removed: in a copy-on-write view of this machine.
package-test: tools programs
	@tools/package-test

fmt:
	$(CARGO) fmt --all

doc:
	$(CARGO) doc --workspace --no-deps
