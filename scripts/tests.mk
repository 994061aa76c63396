# SPDX-License-Identifier: GPL-2.0
#
# The tests and what must be built before each. A new scenario in
# scripts/scenarios or a new linter in scripts/tests is found by itself.

here := $(dir $(lastword $(MAKEFILE_LIST)))
run := @setpriv --pdeathsig KILL -- $(here)run-test

kunit := kunit-uml-debug kunit-uml
guests := misuse-uml-debug might-alloc-uml-debug
scenarios := $(notdir $(wildcard $(here)scenarios/*))
checks := $(notdir $(wildcard $(here)tests/*))

builds := build-stock build-uml build-uml-debug

.PHONY: list $(builds) build-consumer $(kunit) kunit-zeroing kunit-poison $(guests) \
	soak $(scenarios) $(checks)

# Longest first: two run at a time.
list:
	@printf '%s\n' $(kunit) $(guests) kunit-zeroing kunit-poison soak $(scenarios) $(checks)

$(builds): build-%:
	$(run) --build $@ $(here)build $*

build-consumer: build-stock
	$(run) --build $@ $(here)build-consumer

$(kunit): kunit-%: build-%
	$(run) $@ $(here)kunit $*

kunit-zeroing: build-uml
	$(run) $@ $(here)kunit uml init_on_alloc=1 init_on_free=1

kunit-poison: build-uml
	$(run) $@ $(here)kunit uml poison=1

soak: build-uml
	$(run) $@ $(here)soak 10

$(scenarios): build-modules-stock
	$(run) $@ $(here)qemu $@

build-modules-%: build-%
	$(run) --build $@ $(here)build-modules $*

consumer: build-consumer

$(guests): %-uml-debug: build-modules-uml-debug
	$(run) $@ $(here)uml uml-debug $* kunit.enable=0

# The rest looks at the source, or at the objects of the stock build.
rustdoc doctests no-panic: build-stock
$(checks):
	$(run) $@ $(here)enter $(here)tests/$@
