# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # it has variables of dracut's
#
# What the hook for initramfs-tools does, for dracut.

table=$(/usr/libexec/rust-dmapool/list-moved "$kernel")
dir=/lib/modules/$kernel/updates/dmapool

check() {
	[ -n "$table" ]
}

depends() {
	return 0
}

installkernel() {
	local names
	mapfile -t names < <(cut -d' ' -f1 <<<"$table")
	hostonly='' instmods rust_dmapool "${names[@]}"
}

install() {
	local moved
	inst_multiple /usr/libexec/rust-dmapool/load-driver \
		/etc/modprobe.d/rust-dmapool-drivers.conf \
		/bin/sh flock insmod mkdir modprobe sleep
	while read -r _ _ moved _; do
		inst_simple "$dir/$moved"
	done <<<"$table"
	echo "$table" >"$initdir$dir/table"
}
