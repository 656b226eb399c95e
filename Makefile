# SPDX-License-Identifier: BSD-3-Clause
# A thin wrapper around apt, meson and the test runner. Every target may be repeated; none needs
# more than a Debian 12 with make.
#
#   make demo     a daemon, two drives and one guest that uses both
#   make check    all tests; the last line counts them
#   make build    the programs, in build/bin

BUILD       := build
ASAN_BUILD  := build-asan
CLANG_BUILD := build-clang
FAULTS_BUILD := build-faults
FUZZ_BUILD  := build-fuzz
JOBS        := $(shell nproc)
MESON_FLAGS :=
FUZZ_SECONDS := 60
FAULTS_PROGRAMS := bin/umdevd bin/umdev-host bin/umdev-sysfs bin/umdevctl bin/umdev-perf \
		   $(patsubst drivers/%/meson.build,bin/umdev-driver-%.so,$(wildcard drivers/*/meson.build))
comma       := ,

PACKAGES_BUILD := gcc libc6-dev meson ninja-build pkg-config scdoc python3 libjansson-dev liburing-dev \
		  uuid-dev libseccomp-dev libsmartcols-dev libcmocka-dev libfuse3-dev fuse3 libxml2-dev
PACKAGES_DEMO  := $(PACKAGES_BUILD) apt dpkg tar zstd lz4 xz-utils procps debian-archive-keyring
PACKAGES_CHECK := $(PACKAGES_DEMO) git g++ strace clang-14 clang-tidy-14 libclang-rt-14-dev clang-format-14 python3-pytest python3-pytest-xdist \
		  fio cpio binutils mandoc codespell shellcheck mdevctl udev systemd libxml2-utils libvirt0 libvirt-clients libvirt-daemon \
		  libvirt-daemon-driver-qemu
PACKAGES_BENCH := $(PACKAGES_BUILD) fio
PACKAGES_PLOTS := $(PACKAGES_BUILD) python3-matplotlib

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: help build demo check check-quick check-asan build-asan build-clang build-faults build-fuzz fuzz tidy bench bench-qos plots install \
	clean dist deps deps-build deps-demo deps-check deps-bench deps-plots

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

# $(call packages,NAMES): installs those of NAMES that are missing; does nothing when all are there.
define packages
	@command -v dpkg-query >/dev/null || { echo "deps: not a Debian system: meson will say what is missing"; exit 0; }; \
	missing=; \
	for name in $(1); do \
		state=$$(dpkg-query -W -f='$${db:Status-Status} ' "$$name" 2>/dev/null || true); \
		[[ " $$state" == *" installed "* ]] || missing="$$missing $$name"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	root=; \
	if [ "$$(id -u)" != 0 ]; then \
		command -v sudo >/dev/null || { echo "deps: missing packages, and neither root nor sudo is here; run as root: apt-get install$$missing" >&2; exit 1; }; \
		root=sudo; \
	fi; \
	echo "deps: installing$$missing"; \
	$$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update || \
		echo "deps: apt-get update failed; trying with the lists that are here" >&2; \
	$$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends $$missing || \
		{ echo "deps: apt-get could not install$$missing; its message is above" >&2; exit 1; }
endef

# $(call configure,DIR,OPTIONS,ENVIRONMENT): sets a build directory up once; a half-made one is made
# anew.
define configure
	@[ -f $(1)/build.ninja ] || { rm -rf $(1); $(3) meson setup $(1) $(2) $(MESON_FLAGS); }
endef

deps: deps-check

deps-build:
	$(call packages,$(PACKAGES_BUILD))

deps-demo:
	$(call packages,$(PACKAGES_DEMO))

deps-check:
	$(call packages,$(PACKAGES_CHECK))

deps-bench:
	$(call packages,$(PACKAGES_BENCH))

deps-plots:
	$(call packages,$(PACKAGES_PLOTS))

build: deps-build
	$(call configure,$(BUILD),)
	@ninja -j$(JOBS) -C $(BUILD)

# Where the sanitizers put their checks, gcc sees texts that could be NULL. More optimization takes
# half as long again to build, and makes what it builds no faster.
build-asan: deps-build
	$(call configure,$(ASAN_BUILD),--optimization=1 -Db_sanitize=address$(comma)undefined -Dc_args=-Wno-format-truncation)
	@ninja -j$(JOBS) -C $(ASAN_BUILD)

# For what clang says of the code; nothing runs it, so it need not be fast.
build-clang: deps-check
	$(call configure,$(CLANG_BUILD),--buildtype=debug,CC=clang-14 CXX=clang++-14)
	@ninja -j$(JOBS) -C $(CLANG_BUILD)

build-fuzz: deps-check
	$(call configure,$(FUZZ_BUILD),-Dfuzz=true -Db_sanitize=address$(comma)undefined -Db_lundef=false,CC=clang-14 CXX=clang++-14)
	@ninja -j$(JOBS) -C $(FUZZ_BUILD) fuzz-targets

# Not a part of "make check", which gives each target some seconds: docs/fuzzing.md.
fuzz: build-fuzz
	@tests/fuzz/run --build $(FUZZ_BUILD) $(FUZZ_SECONDS)

# Not a part of "make check": it takes minutes, and its findings are for a person to judge.
tidy: build-clang
	@git ls-files 'src/*.c' 'drivers/*.c' 'tools/*.c' | xargs -P$(JOBS) -n4 clang-tidy-14 --quiet -p $(CLANG_BUILD)

demo: deps-demo build
	@tools/vm/demo

# Hosts that kill themselves at labelled steps, and what tests run along with them.
build-faults: deps-build
	$(call configure,$(FAULTS_BUILD),-Dfaults=true -Dtests=false)
	@ninja -j$(JOBS) -C $(FAULTS_BUILD) $(FAULTS_PROGRAMS)

check: deps-check build build-asan build-faults build-fuzz
	@tools/run-tests --build $(BUILD) --asan $(ASAN_BUILD) --fuzz $(FUZZ_BUILD)

check-quick: deps-check build
	@tools/run-tests --build $(BUILD) --suite checks --suite unit

check-asan: deps-check build-asan
	@tools/run-tests --build $(ASAN_BUILD) --suite unit --suite wire

bench: deps-bench build
	@tests/bench/compare

bench-qos: deps-build build
	@tests/bench/qos

# The pictures of docs/qos.md, anew.
plots: deps-plots build
	@docs/images/make-plots

install: build
	@meson install -C $(BUILD) --no-rebuild

dist: build
	@meson dist -C $(BUILD) --no-tests --formats xztar

clean:
	rm -rf $(BUILD) $(ASAN_BUILD) $(CLANG_BUILD) $(FAULTS_BUILD) $(FUZZ_BUILD)
