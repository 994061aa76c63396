# SPDX-License-Identifier: GPL-2.0
#
# To be included by the Kbuild file of a driver that uses DMA pools of rust_dmapool:
#
#	include /usr/share/rust-dmapool/rust_dmapool.mk
#	obj-m := my_driver.o
#	RUSTFLAGS_my_driver.o := -L $(DMAPOOL) --extern rust_dmapool
#
# or, for a driver in C,
#
#	CFLAGS_my_driver.o := -I $(DMAPOOL)/include
#
# DMAPOOL is where the module was built for the kernel KERNELRELEASE: by DKMS, unless
# it is set already.

DMAPOOL ?= $(wildcard /var/lib/dkms/rust-dmapool/kernel-$(KERNELRELEASE)-*/module)

ifeq ($(DMAPOOL),)
$(error rust_dmapool is not installed for $(KERNELRELEASE): see 'dkms status rust-dmapool')
endif

KBUILD_EXTRA_SYMBOLS += $(DMAPOOL)/Module.symvers
