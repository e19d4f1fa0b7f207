# Everything that is done with this repository: `make` alone lists it. Works as any user and installs nothing globally.

SHELL := /bin/sh
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
# ARCH=aarch64 builds for that processor on another one.
TRIPLE := $(if $(ARCH),$(ARCH)-unknown-linux-gnu,$(HOST))
CROSS := $(if $(filter-out $(HOST),$(TRIPLE)),$(ARCH)-linux-gnu-gcc)
BINARY := $(TARGET)/$(TRIPLE)/release/pushwrap
PREFIX ?= /usr/local
# abspath would take a path with a blank (a Jenkins workspace) for two.
export TESTED_PUSHWRAP = $(if $(filter /%,$(firstword $(BINARY))),$(BINARY),$(CURDIR)/$(BINARY))

# Most tests wait for servers and clocks: more of them than cores.
THREADS = $(shell echo $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )))

# $(call need,program,remedy): one sentence instead of a shell's "not found".
need = @command -v $(1) >/dev/null || { echo "make: '$(1)' is not on PATH: $(2)" >&2; exit 1; }

.PHONY: help
help: ## list these goals
	@echo 'make GOAL, where GOAL is'
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-12s %s\n", $$1, $$2 }'

# Cargo's own words for an old toolchain are about the edition.
RUST_WANTED := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
RUST_FOUND := $(word 2,$(shell rustc --version 2>/dev/null))

# Who starts make in the background (`nohup make test &`) has the signals of a terminal ignored, and tests send them.
DEFAULT_SIGNALS := $(shell env --default-signal true 2>/dev/null && echo env --default-signal)

.PHONY: tools
tools:
	$(call need,cargo,install Rust 1.95 or newer (https://rustup.rs))
	$(call need,rustc,install Rust 1.95 or newer (https://rustup.rs))
	@printf '%s\n' "$(RUST_WANTED)" "$(RUST_FOUND)" | sort -C -V || { \
	echo "make: Rust $(RUST_WANTED) or newer is needed, and rustc is $(RUST_FOUND): 'rustup update stable', or https://rustup.rs" >&2; \
	exit 1; }
	$(call need,cc,install a C compiler (Debian: gcc and libc6-dev))

.PHONY: cross
cross: tools
ifneq ($(CROSS),)
	$(call need,$(CROSS),install the cross compiler (Debian: gcc-$(ARCH)-linux-gnu and libc6-dev-$(ARCH:aarch64=arm64)-cross))
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(TRIPLE)/lib" || { \
	echo "make: Rust's standard library for $(TRIPLE) is not here: 'rustup target add $(TRIPLE)' (Debian: libstd-rust-dev:$(ARCH:aarch64=arm64))" >&2; \
	exit 1; }
endif

# Fedora and others package the static C library apart; musl has no other.
.PHONY: static-libc
static-libc: cross
	@case "$(TRIPLE)" in *-gnu) test -f "$$($(or $(CROSS),cc) -print-file-name=libc.a)" || { \
	echo "make: the C library is not here as libc.a: install it (Debian: libc6-dev, Fedora: glibc-static)" >&2; exit 1; } ;; esac

# Where it is built must not show in the binary: the same commit makes the same bytes everywhere.
CARGO_DIR = $(or $(CARGO_HOME),$(HOME)/.cargo)
# Flags are separated by U+001F, because a path may have blanks (cargo book, "CARGO_ENCODED_RUSTFLAGS"). CFLAGS know no such form.
UNIT := $(shell printf '\037')
EMPTY :=
BLANK := $(EMPTY) $(EMPTY)
FLAGS = $(subst $(BLANK),$(UNIT),$(strip $(RUSTFLAGS) -C target-feature=+crt-static $(RELR)))
REMAP = $(UNIT)--remap-path-prefix=$(CURDIR)=.$(UNIT)--remap-path-prefix=$(CARGO_DIR)=cargo
C_REMAP = $(if $(word 2,$(CARGO_DIR)),,-ffile-prefix-map=$(CARGO_DIR)=cargo)

# Relocations in their short form take 120 KiB less of the file and of each process. The program applies them itself, which glibc's
# startup code can from 2.36 on. Which one a cross compiler links is not asked.
GLIBC := $(if $(filter %-gnu,$(if $(CROSS),,$(HOST))),$(lastword $(shell getconf GNU_LIBC_VERSION 2>/dev/null)))
RELR := $(if $(GLIBC),$(shell printf '%s\n' 2.36 "$(GLIBC)" | sort -C -V && echo -C link-arg=-Wl,-z,pack-relative-relocs))

LINKER := $(if $(CROSS),CARGO_TARGET_$(shell echo $(TRIPLE) | tr a-z- A-Z_)_LINKER=$(CROSS))

# A static glibc binary: the target must be named, or proc macros would be built with the flag too and fail.
.PHONY: build
build: static-libc ## build the static release binary; its path is the last line; ARCH=aarch64 for that processor
	@CFLAGS="$(CFLAGS) $(C_REMAP)" CARGO_ENCODED_RUSTFLAGS="$(FLAGS)$(REMAP)" $(LINKER) \
	cargo build --release --locked --target $(TRIPLE) --bin pushwrap
	@echo "$(BINARY)"

.PHONY: servers
servers: tools ## get the servers that the tests need (PATH, else packages unpacked below target/)
	@scripts/servers --all >/dev/null

# A toolchain without these two (distributions package them apart) can still run the tests; the CI has them.
.PHONY: lint
lint: tools ## formatting and clippy
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --check; \
	else echo "make: formatting is not checked: this toolchain has no rustfmt" >&2; test -z "$(CI)"; fi
	@if cargo clippy --version >/dev/null 2>&1; then cargo clippy --locked --all-targets -- -D warnings; \
	else echo "make: lints are not checked: this toolchain has no clippy" >&2; test -z "$(CI)"; fi

.PHONY: tests
tests: tools
	cargo test --locked --no-run

# The last step of the release build has one thread, and packages come from the network: all that has to be made is made side
# by side. Everything is run, whatever fails first.
.PHONY: test
test: ## lints, unit tests and integration tests against real servers
	@status=0; $(MAKE) --no-print-directory --keep-going --jobs=4 --output-sync=target build servers tests lint || status=1; \
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$(THREADS)} $(DEFAULT_SIGNALS) cargo test --locked --no-fail-fast || status=1; exit $$status

# FILTER= runs some of them, ROUNDS= more or less than 20 times.
.PHONY: test-steady
test-steady: build servers ## every integration test 20 times beside busy loops; ROUNDS=3 FILTER=delivery:: for less
	@ROUNDS=$(or $(ROUNDS),20) scripts/test-steady $(FILTER)

.PHONY: test-system
test-system: build servers ## tests that need root, a container engine or a daemon of the system
	$(DEFAULT_SIGNALS) cargo test --locked --test system

.PHONY: stress
stress: build servers ## a minute of fifty workers whose pushwraps are killed and whose gateway comes and goes
	$(DEFAULT_SIGNALS) cargo test --locked --test stress -- --nocapture

# RUNS= says how many, MINUTES= for how long at most, WORKERS= how many series of eight at once. SEED= draws the same runs again, ONLY=N the series of run N alone.
.PHONY: soak
soak: build servers ## thousands of seeded runs under faults, judged by a model; RUNS=20000 SEED=1, ONLY=17
	RUNS=$(RUNS) SEED=$(SEED) ONLY=$(ONLY) MINUTES=$(MINUTES) WORKERS=$(WORKERS) $(DEFAULT_SIGNALS) cargo test --locked --test soak -- --nocapture

.PHONY: herd
herd: build servers ## 500 jobs in two seconds at a gateway with 10,000 groups, pushwrap beside a curl script; ROUNDS=1 for less
	$(DEFAULT_SIGNALS) ROUNDS=$(or $(ROUNDS),3) cargo test --quiet --locked --test herd

# TIME= is how many seconds each target gets, FILTER= runs some of them, JOBS= several at once.
.PHONY: fuzz
fuzz: tools ## search for bytes that a parser cannot take; TIME=60 for each target, FILTER=url for some
	@TIME=$(or $(TIME),60) JOBS=$(or $(JOBS),1) MINIMIZE=$(MINIMIZE) scripts/fuzz $(FILTER)

.PHONY: demo
demo: build ## three jobs, a real Pushgateway and a real Prometheus; KEEP=1 leaves their pages open
	@KEEP=$(KEEP) scripts/demo "$(BINARY)"

.PHONY: pictures
pictures: build ## make docs/pictures/ anew from real runs; those of pages need Chromium
	$(call need,python3,install Python 3)
	@scripts/pictures "$(BINARY)"

# What a disk needs to make a directory is not pushwrap's: a tmpfs where there is one, as most systems have it at /tmp.
.PHONY: bench
bench: build servers ## speed and weight beside other programs, into docs/benchmarks.md; ONLY="run push" prints some
	@cargo bench --locked --no-run --bench compare
	@TMPDIR="$${TMPDIR:-$$(test -w /dev/shm && echo /dev/shm || echo /tmp)}" \
	cargo bench --locked --quiet --bench compare -- $(ONLY) $(if $(ONLY),$(if $(WRITE),--write),--write)

.PHONY: generated
generated: tools ## write man/, completions/ and the tables in docs/ anew from the command line's definition
	UPDATE=1 cargo test --locked --test integration -- are_current readme::

# Not built here: `sudo make install` has no toolchain, as a rule.
.PHONY: install
install: ## install binary, man page and completions below PREFIX (/usr/local); DESTDIR is respected
	@binary=$$(ls "$(BINARY)" "$(TARGET)"/*/release/pushwrap 2>/dev/null | head -n 1); \
	test -n "$$binary" || { echo "make: there is no binary yet: run 'make build' first" >&2; exit 1; }; \
	set -x; install -D -m 755 "$$binary" "$(DESTDIR)$(PREFIX)/bin/pushwrap"
	install -D -m 644 -t "$(DESTDIR)$(PREFIX)/share/man/man1" man/*.1
	install -D -m 644 completions/pushwrap.bash "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/pushwrap"
	install -D -m 644 completions/_pushwrap "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_pushwrap"
	install -D -m 644 completions/pushwrap.fish "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/pushwrap.fish"

.PHONY: dist
dist: build ## tarball, .deb, .rpm, software bill of materials and their sums, below target/dist; ARCH=aarch64 adds its own
	@scripts/dist "$(BINARY)"

.PHONY: example-spring-boot
example-spring-boot: build ## build the job in examples/spring-boot with Maven, and run it under pushwrap
	$(call need,mvn,install Maven (Debian: maven))
	$(call need,java,install a JDK 17 or newer (Debian: default-jdk))
	mvn -q -f examples/spring-boot/pom.xml package || { echo "make: Maven cannot build it: it needs its registry" >&2; exit 1; }
	"$(BINARY)" --job hello --summary -- java -jar examples/spring-boot/target/hello-1.jar

IMAGE ?= pushwrap
.PHONY: image
image: build ## the container image IMAGE (pushwrap), which has the binary and nothing else
	$(call need,docker,install a container engine)
	@rm -rf "$(TARGET)/image"; install -D -m 755 "$(BINARY)" "$(TARGET)/image/bin/pushwrap"
	docker build -t $(IMAGE) -f packaging/Dockerfile "$(TARGET)/image"

.PHONY: clean
clean: ## remove everything that was built or downloaded
	rm -rf "$(TARGET)"
