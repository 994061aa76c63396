# SPDX-License-Identifier: GPL-2.0

# The kernel to build for: a build directory with Rust metadata, such as Debian's headers are not.
KDIR ?= $(firstword $(wildcard /var/lib/linux-rust-metadata/$(shell uname -r)) \
		    /lib/modules/$(shell uname -r)/build)

# As for the kernel itself, whatever the environment says.
RUSTC := rustc

CACHE := $(or $(RUST_DMAPOOL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rust-dmapool)

.PHONY: modules modules_install clean check-kdir check-rustc demo demo-nvme demo-rust-nvme bench bench-lines soak test \
	test-mutations test-smp-debug test-smp-rt-debug test-smp-cfi test-many-cpus test-rust-nvme-debug \
	test-in-tree test-series series test-packages test-boot test-machine deb setup setup-refresh clean-cache docs rustdoc rust-analyzer help

modules: check-rustc
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

modules_install: check-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install

clean: check-kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) clean

check-kdir:
	@scripts/lib/check-kdir $(KDIR)

check-rustc: check-kdir
	@scripts/linux-rust-metadata --check-rustc $(KDIR) $(RUSTC)

demo:
	@scripts/setup demo
	@scripts/demo

demo-nvme:
	@scripts/setup demo-nvme
	@scripts/demo demo-nvme data

demo-rust-nvme:
	@scripts/setup demo-nvme
	@scripts/demo demo-rust-nvme data

bench:
	@scripts/bench/run
	@scripts/bench/nvme/run

bench-lines:
	@scripts/bench/lines/run

soak:
	@scripts/setup test
	@scripts/soak

# T='NAME...' runs these tests only, FLAVOUR=rt all scenarios on that kernel of Debian's.
test:
	@scripts/test $(T)

test-%:
	@scripts/test $*

test-mutations:
	@scripts/mutations/run

# A whole kernel on this pool, all drivers of which have devices; then the samples, on the same one.
test-in-tree:
	@scripts/setup in-tree
	@scripts/test in-tree
	@scripts/steps/in-tree build >/dev/null
	@scripts/qemu/run ../slow/in-tree
	@scripts/qemu/run ../slow/in-tree-samples

# The pool as patches for a kernel tree.
series:
	@scripts/setup demo
	@rm -rf $(CACHE)/patches
	@scripts/series $(CACHE)/patches

# Each of these by itself.
test-series:
	@scripts/setup series
	@scripts/test series
	@scripts/kunit/series

# The NVMe driver in Rust on the same kernel.
test-rust-nvme-debug:
	@scripts/setup smp-debug
	@scripts/qemu/run ../slow/rust-nvme

test-smp-debug test-smp-rt-debug test-smp-cfi: test-%:
	@scripts/setup $*
	@scripts/qemu/run ../slow/$*

# 16 CPUs, and as many as the kernel can have.
test-many-cpus:
	@scripts/setup smp-cfi
	@scripts/qemu/run ../slow/many-cpus nr_cpus=16
	@scripts/qemu/run ../slow/many-cpus

docs:
	@scripts/setup docs
	@scripts/build stock
	@scripts/enter scripts/check/docs

rustdoc:
	@scripts/setup demo
	@scripts/build stock
	@scripts/enter scripts/check/rustdoc

# For a kernel of set-up, if none is named.
rust-analyzer:
ifeq ($(origin KDIR),file)
	@scripts/setup test
	@scripts/rust-analyzer
else
	@scripts/lib/check-kdir $(KDIR)
	@scripts/rust-analyzer $(KDIR)
endif

deb:
	@scripts/setup deb
	@scripts/packages/build

# One after the other: each takes the machine.
test-machine:
	@$(MAKE) test-packages
	@$(MAKE) test-boot

test-packages:
	@scripts/setup machine
	@scripts/packages/test

test-boot:
	@scripts/setup machine
	@scripts/packages/boot

setup:
	@scripts/setup test

setup-refresh:
	@scripts/setup --refresh test

clean-cache:
	rm -rf --one-file-system $(CACHE)

help:
	@echo 'The modules, for a kernel of yours:'
	@echo '  make KDIR=DIR         build in place (default: the running kernel)'
	@echo '  make modules_install  install what was built'
	@echo '  make clean            remove what was built'
	@echo
	@echo "See and check them on Debian's kernel (as root; the clone stays clean):"
	@echo '  make demo             real DMA through the pool, in QEMU'
	@echo "  make demo-nvme        Debian's NVMe driver, moved over to the pool, likewise"
	@echo '  make demo-rust-nvme   the same with an NVMe driver in Rust, samples/rust_nvme'
	@echo '  make bench            compare with mm/dmapool.c: tables, bench.csv, bench.svg'
	@echo '  make bench-lines      how many cache lines move between 1 to 64 CPUs; a model'
	@echo '  make soak             a billion random operations; goes on where it was stopped'
	@echo '  make test             everything: KUnit, QEMU scenarios, linters'
	@echo '  make test-NAME        one test; also make test T="NAME NAME"'
	@echo '  scripts/test --list   the names'
	@echo '  make test-mutations   whether the tests catch mistakes; takes long'
	@echo "  make test FLAVOUR=rt  the scenarios on Debian's real-time kernel; or cloud, arm64"
	@echo '  make test-smp-debug   KUnit on four CPUs with KASAN and lockdep; takes long'
	@echo '  make test-smp-rt-debug  the same on a real-time kernel'
	@echo '  make test-smp-cfi     the same on one with CFI and inlined helpers'
	@echo '  make test-in-tree     a kernel with the pool in the place of mm/dmapool.c'
	@echo '  make test-series      each patch of the series by itself; takes long'
	@echo '  make test-many-cpus   threads on 16 and on 64 CPUs; takes long'
	@echo '  make docs             all documentation as HTML'
	@echo '  make rustdoc          that of the crate alone'
	@echo '  make rust-analyzer    rust-project.json, for editors'
	@echo '  make series           patches that put the pool into a kernel tree'
	@echo '  make deb              packages for Debian, which build the module by DKMS'
	@echo '  make test-machine     the two that follow:'
	@echo '  make test-packages    whether these install, build, say what is missing and go again'
	@echo '  make test-boot        a Debian that boots from a disk whose driver was moved, is'
	@echo '                        upgraded, and gets rid of them'
	@echo
	@echo 'Set-up, which all of these do first by themselves:'
	@echo '  make setup            fetch Debian packages and build kernels into'
	@echo '                        $(CACHE)'
	@echo '  make setup-refresh    the same with the newest packages'
	@echo '  make clean-cache      remove all of it'
	@echo '  scripts/enter CMD     run CMD where the toolchain is'
