# `make` alone lists the targets. Each installs what it needs and does not find.
.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test campaign soak bench check completions man install uninstall dist dist-test fmt

USERS ?= 50000
SEED ?=
MINUTES ?= 10
export PATH := $(PATH):$(HOME)/.cargo/bin
# Flags for cargo: nothing, or the feature that builds OpenSSL too.
FLAGS = flags=$$(deploy/demo/build-deps.sh)
# What the tests run against.
SERVERS = deploy/demo/postgres.sh pooler >/dev/null && PUSHCTL_TEST_PG_BIN=$$(deploy/demo/postgres.sh bin) && \
	export PUSHCTL_TEST_PG_BIN

# Where `make install` installs: cargo's directory, and ~/.local for what is no program; or all under PREFIX.
ifdef PREFIX
BINDIR ?= $(PREFIX)/bin
SHAREDIR ?= $(PREFIX)/share
else
BINDIR ?= $(or $(CARGO_HOME),$(HOME)/.cargo)/bin
SHAREDIR ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)
endif
RELEASE = $(or $(CARGO_TARGET_DIR),target)/release/pushctl

SCRIPTS = .ci/run .ci/dependencies .ci/rust-version deploy/demo/build-deps.sh deploy/demo/demo.sh \
	deploy/demo/needs.sh 	deploy/demo/postgres.sh deploy/demo/standin.sh benches/*.sh \
	deploy/package/*.sh deploy/package/debian/*
WORKFLOWS = .github/workflows/*.yml deploy/ci/*.yml

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## 50,000 made-up people, every audience, and pushes that reach no phone (USERS=1000000)
	@deploy/demo/demo.sh $(USERS)

demo-stop: ## stop the demo and remove everything it made
	@deploy/demo/demo.sh stop

test: ## every test, against a real PostgreSQL
	@deploy/demo/needs.sh test && $(FLAGS) && $(SERVERS) && cargo test --locked $$flags -- --test-threads 4

campaign: ## the long tests in full length (SEED=… repeats one)
	@$(FLAGS) && $(SERVERS) && seed=$(SEED) && seed=$${seed:-$$(date +%s)} && \
	echo "SEED=$$seed" && PUSHCTL_CAMPAIGN=full PUSHCTL_CAMPAIGN_SEED=$$seed \
	cargo test --release --locked $$flags --test pushctl campaign -- --nocapture

soak: ## commands at random under random faults for MINUTES=10 minutes (SEED=… repeats one round)
	@$(FLAGS) && $(SERVERS) && PUSHCTL_SOAK_MINUTES=$(MINUTES) PUSHCTL_SOAK_SEED=$(SEED) \
	cargo test --release --locked $$flags --test pushctl -- soak:: --nocapture

bench: ## speed and memory: of generate against psql, of send against the Node SDK and h2load
	@benches/generate.sh
	@echo
	@benches/send.sh

check: ## formatting, lints, shell scripts, workflows, dependencies, the oldest Rust
	@cargo fmt --check
	@$(FLAGS) && cargo clippy --all-targets --locked $$flags -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR $(SCRIPTS); \
	else echo "not checked: shell scripts: shellcheck is not installed" >&2; fi
	@if command -v actionlint >/dev/null; then actionlint $(WORKFLOWS); \
	else echo "not checked: workflows: actionlint is not installed" >&2; fi
	@.ci/dependencies
	@$(FLAGS) && FLAGS="$$flags" .ci/rust-version

completions: ## write the completion scripts of five shells into completions/
	@$(FLAGS) && cargo build --locked $$flags && bin=$${CARGO_TARGET_DIR:-target}/debug/pushctl && \
	for each in bash:pushctl.bash zsh:_pushctl fish:pushctl.fish powershell:_pushctl.ps1 elvish:pushctl.elv; do \
	  "$$bin" completions "$${each%%:*}" >"completions/$${each#*:}" || exit; done

man: ## write the manual pages into target/man
	@$(FLAGS) && cargo build --locked $$flags && "$${CARGO_TARGET_DIR:-target}/debug/pushctl" man --dir target/man

install: ## build and install pushctl, its manual pages and completions (PREFIX=/usr/local, DESTDIR=)
	@$(FLAGS) && cargo build --release --locked --bin pushctl $$flags && \
	install -d "$(DESTDIR)$(BINDIR)" && install -m 755 "$(RELEASE)" "$(DESTDIR)$(BINDIR)/pushctl" && \
	deploy/package/share.sh "$(RELEASE)" "$(DESTDIR)$(SHAREDIR)" && \
	echo "Installed $(DESTDIR)$(BINDIR)/pushctl; manual pages and completions are in $(DESTDIR)$(SHAREDIR)"

uninstall: ## remove what `make install` installed
	@rm -f "$(DESTDIR)$(BINDIR)/pushctl" "$(DESTDIR)$(SHAREDIR)"/man/man1/pushctl.1 \
	"$(DESTDIR)$(SHAREDIR)"/man/man1/pushctl-*.1 "$(DESTDIR)$(SHAREDIR)/bash-completion/completions/pushctl" \
	"$(DESTDIR)$(SHAREDIR)/zsh/site-functions/_pushctl" "$(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d/pushctl.fish"

dist: ## pack pushctl into target/dist: a tarball, a Debian package, checksums
	@$(FLAGS) && cargo build --release --locked --bin pushctl $$flags && deploy/package/dist.sh "$(RELEASE)"

dist-test: ## install, run and remove the packages of target/dist in a clean Debian (needs root)
	@deploy/package/test.sh

fmt: ## format the code
	@cargo fmt
