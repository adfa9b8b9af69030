# Two commands: `make demo` shows the product, `make test` runs every check.

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR

HEADROPE := $(CARGO_TARGET_DIR)/release/headrope

.PHONY: demo build test rust e2e browser

# Builds and starts everything on this machine with a seeded shop; prints the address.
demo: build
	"$(HEADROPE)" demo $(ARGS)

build:
	cargo build --release -p headrope-server

# Installs what the tests need and runs every check that CI runs.
test:
	ci/test.sh

# Parts of it: make rust | e2e | browser
rust e2e browser:
	ci/test.sh $@
