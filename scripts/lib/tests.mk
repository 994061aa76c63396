# SPDX-License-Identifier: GPL-2.0
#
# The tests and what must be built before each. A new file in scripts/qemu/scenarios,
# scripts/kunit/guest or scripts/check is found by itself.

scripts := $(dir $(lastword $(MAKEFILE_LIST)))..
run := @setpriv --pdeathsig KILL -- $(scripts)/lib/run-test

kunit := kunit-uml-debug kunit-uml
guests := $(notdir $(shell grep -l '^\# kernel: uml-debug' $(scripts)/kunit/guest/*))
guests := $(guests:%=%-uml-debug)
checks := $(notdir $(wildcard $(scripts)/check/*))

# FLAVOUR has the scenarios run on another kernel of Debian's, and nothing else. Some run
# on these kernels in any case.
stock := $(shell bash -c '. $(scripts)/lib/paths && echo $$stock')
architecture := $(shell bash -c '. $(scripts)/lib/paths && echo $$architecture')
scenarios := $(notdir $(shell grep -L '^\# not on: $(architecture)' $(scripts)/qemu/scenarios/*))
flavoured := rt-hard-irq rt-misuse rt-c-interface rt-nvme cloud-c-interface cloud-misuse \
	$(addprefix arm64-,demo c-interface misuse rebind-busy nvme rust-nvme)

builds := $(addprefix build-,$(sort $(stock) stock-rt-amd64 stock-cloud-amd64 stock-arm64)) \
	build-uml build-uml-debug

.PHONY: list $(builds) build-consumer build-loom $(kunit) kunit-zeroing kunit-poison kunit-quarantine $(guests) \
	soak $(scenarios) $(flavoured) litmus $(checks) $(guests:%=build-for-%) \
	$(scenarios:%=build-for-%)

# Longest first: two run at a time.
list:
ifdef FLAVOUR
	@printf '%s\n' $(scenarios)
else
	@printf '%s\n' $(kunit) $(guests) kunit-zeroing kunit-poison kunit-quarantine soak $(scenarios) $(flavoured) \
		litmus $(checks)
endif

$(builds): build-%:
	$(run) --build $@ $(scripts)/build $*

build-consumer: build-$(stock)
	$(run) --build $@ $(scripts)/qemu/build-consumer

build-loom:
	$(run) --build $@ $(scripts)/enter $(scripts)/check/loom --build

$(kunit): kunit-%: build-%
	$(run) $@ $(scripts)/kunit/run $*

kunit-zeroing: build-uml
	$(run) $@ $(scripts)/kunit/run uml init_on_alloc=1 init_on_free=1

kunit-poison: build-uml
	$(run) $@ $(scripts)/kunit/run uml poison=1 track=1

kunit-quarantine: build-uml
	$(run) $@ $(scripts)/kunit/run uml quarantine=8

soak: build-uml
	$(run) $@ $(scripts)/soak 10

$(scenarios): %: build-for-%
	$(run) $@ $(scripts)/qemu/run $@

$(scenarios:%=build-for-%): build-for-%: build-$(stock)
	$(run) --build $@ $(scripts)/lib/modules-for $(stock) $(scripts)/qemu/scenarios/$*

$(flavoured): export FLAVOUR = $(firstword $(subst -, ,$@))
$(filter rt-%,$(flavoured)): build-stock-rt-amd64
$(filter cloud-%,$(flavoured)): build-stock-cloud-amd64
$(filter arm64-%,$(flavoured)): build-stock-arm64
$(flavoured):
	$(run) $@ $(scripts)/qemu/run $(patsubst $(FLAVOUR)-%,%,$@)

$(guests): %-uml-debug: build-for-%-uml-debug
	$(run) $@ $(scripts)/kunit/uml uml-debug $* kunit.enable=0

$(guests:%=build-for-%): build-for-%-uml-debug: build-uml-debug
	$(run) --build $@ $(scripts)/lib/modules-for uml-debug $(scripts)/kunit/guest/$*

# herd7 is not in the root file system, but where the host has it.
litmus:
	$(run) $@ $(scripts)/litmus/run

# The rest looks at the source, or at the objects of these builds.
docs rustdoc doctests messages drivers exports no-panic says-where stack: build-stock
exports no-panic stack: build-stock-arm64
in-tree: build-uml
loom: build-loom
rust-analyzer: build-consumer
$(checks):
	$(run) $@ $(scripts)/enter $(scripts)/check/$@
