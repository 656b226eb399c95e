#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# One mediated device from beginning to end with nothing but a shell: the sequence that was proposed
# for the kernel in 2016, which works on umdev's tree.
#
#   2016-sequence.sh SYS PARENT TYPE [COMMAND...]
#
#   SYS      the sys directory of the tree: /run/umdev/tree/sys, or /sys where that is mounted there
#   COMMAND  is run with the path of the device's socket as last argument, in the middle of it;
#            "umdev-perf --count 1000 --socket" reads a thousand blocks
set -eu

if [ $# -lt 3 ]; then
	echo "usage: $0 SYS PARENT TYPE [COMMAND...]" >&2
	exit 2
fi
sys=$1
type=$sys/class/mdev_bus/$2/mdev_supported_types/$3
shift 3

# What is there, and how much of it.
name=$(cat "$type/name")
api=$(cat "$type/device_api")
class=$(cat "$type/class")
max=$(cat "$type/max_instances")
before=$(cat "$type/available_instances")
echo "$name: class $class, $api, $before of $max available"

# Create. When echo returns, the device is there.
uuid=$(cat /proc/sys/kernel/random/uuid)
echo "$uuid" >"$type/create"
device=$sys/bus/mdev/devices/$uuid
echo "created $uuid, $(cat "$type/available_instances") available"

# Whatever happens from now on, the device does not stay.
trap 'echo 1 >"$device/remove"' EXIT

# Attributes, before the first use: the knobs that the type honours, and those of the driver, which are
# in a directory named after it.
for knob in $(cat "$type/qos"); do
	case $knob in
	weight) echo 200 >"$device/mdev/weight" ;;
	cap) echo 50 >"$device/mdev/cap" ;;
	esac
	echo "$knob $(cat "$device/mdev/$knob")"
done
driver=$(basename "$(readlink "$device/driver")")
if [ -e "$device/$driver/serial" ]; then
	echo "SEQUENCE-2016" >"$device/$driver/serial"
	echo "serial $(cat "$device/$driver/serial")"
fi

# Use.
socket=$(cat "$device/mdev/socket")
if [ $# -gt 0 ]; then
	"$@" "$socket"
	echo "jobs $(cat "$device/mdev/jobs")"
fi

# Remove. When echo returns, the device is gone and its instance free.
trap - EXIT
echo 1 >"$device/remove"
if [ -e "$device" ]; then
	echo "$0: $uuid is still there" >&2
	exit 1
fi
echo "removed, $(cat "$type/available_instances") available"
