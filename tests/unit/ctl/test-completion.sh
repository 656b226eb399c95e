#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The bash completion without a daemon: verbs, options, files.
# usage: test-completion.sh UMDEVCTL COMPLETION
set -u
program=$1
faults=0
# shellcheck source=/dev/null
source "$2" || exit 1

# expect WANTED WORD...: the last word is completed; WANTED are words that must be offered, or '-'.
expect() {
	local wanted=$1 w
	shift
	COMP_WORDS=("$program" "$@")
	COMP_CWORD=$#
	COMP_LINE="${COMP_WORDS[*]}"
	COMP_POINT=${#COMP_LINE}
	_umdevctl
	if [[ $wanted == - ]]; then
		[[ ${#COMPREPLY[@]} -eq 0 ]] && return
		echo "$*: nothing should be offered, not ${COMPREPLY[*]}"
		faults=$((faults + 1))
		return
	fi
	for w in $wanted; do
		[[ " ${COMPREPLY[*]} " == *" $w "* ]] && continue
		echo "$*: $w is not offered, but: ${COMPREPLY[*]}"
		faults=$((faults + 1))
	done
}

export UMDEV_ROOT=/nonexistent
expect 'types list define qemu-args run parent doctor qos blame' ''
expect 'create xml events' ''
expect 'serial storage' types --class s
expect 'kvm qemu' xml --domain --virt-type ''
expect '--domain --fragment --parent --memory --name' xml --
expect 'start stop' st
expect 'list' --root /tmp li
expect 'add remove list' parent ''
expect '--driver --option --root --json' parent add x --
expect '--uuid --parent --type --type-name --attr --jsonfile' define --
expect '--dumpjson --defined' list -v --de --d
expect '--json --root' --
expect '--cap --weight --priority --defined --json' qos U --
expect '--seconds --json' blame U --
expect - qos U --cap ''
expect - blame U --seconds ''
expect '/etc/passwd' define --jsonfile /etc/pass
expect '/etc' --root /et
expect 'modify' help mod
expect 'start' start
expect - start-parent
expect '--root --json' start-parent-mdevs --
expect - start-parent-mdevs ''
expect '--force --uuid --defined --live' modify --
expect '--force' undefine --f
expect - define --uuid ''
expect - define --attr ''
[[ $faults -eq 0 ]]
