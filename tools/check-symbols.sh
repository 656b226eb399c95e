#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# check-symbols.sh BUILD: what the shared objects of a build let out. A driver exports its entry and
# needs nothing of the program that loads it; libumdev exports umdev_* alone.
set -u -o pipefail
build=${1:?usage: check-symbols.sh BUILD}

bad=0
seen=0
report() {
	echo "$1"
	bad=1
}

exported() {
	nm --dynamic --defined-only "$1" | awk '{ print $NF }' | sed 's/@.*//'
}

for object in "$build"/bin/umdev-driver-*.so; do
	[ -f "$object" ] || continue
	seen=1
	extra=$(exported "$object" | grep -vx 'umdev_driver_entry' | tr '\n' ' ')
	[ -z "$extra" ] || report "$object exports more than umdev_driver_entry: $extra"
	exported "$object" | grep -qx 'umdev_driver_entry' || report "$object does not export umdev_driver_entry"
	wanted=$(nm --dynamic --undefined-only "$object" | awk '{ print $NF }' | grep '^umdev_' | tr '\n' ' ')
	[ -z "$wanted" ] || report "$object needs symbols of ours: $wanted"
done
[ $seen = 1 ] || report "no driver in $build/bin"

library=$(find "$build" -name 'libumdev.so.*.*.*' -type f | head -n 1)
if [ -n "$library" ]; then
	extra=$(exported "$library" | grep -v '^umdev_' | tr '\n' ' ')
	[ -z "$extra" ] || report "$library exports names that are not umdev_*: $extra"
	exported "$library" | grep -q '^umdev_' || report "$library exports nothing"
else
	report "no libumdev in $build"
fi
exit $bad
