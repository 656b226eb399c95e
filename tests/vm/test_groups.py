# SPDX-License-Identifier: BSD-3-Clause
"""A machine that holds a group: both drives are its own, and what they get of their parent together is the group's."""

import json
import uuid

import pytest

from test_qos import READERS, SERVICE_US, usage
from vmlib import VmError
from vmlib.umdev import UmdevDrive

pytestmark = pytest.mark.umdev_only

WRITE_AND_READ = """
set -e
for drive in 0 1; do
	dd if=/dev/urandom of=/tmp/data$drive bs=1M count=8 2>/dev/null
	dd if=/tmp/data$drive of=/dev/nvme${drive}n1 bs=64k oflag=direct 2>/dev/null
done
echo 3 > /proc/sys/vm/drop_caches
for drive in 0 1; do
	dd if=/dev/nvme${drive}n1 of=/tmp/read bs=1M count=8 iflag=direct 2>/dev/null
	cmp /tmp/data$drive /tmp/read
done
"""

READ = f"""
for drive in $(ls -d /dev/nvme?n1); do
	for reader in $(seq {READERS}); do
		while [ ! -e /tmp/stop ]; do
			dd if=$drive of=/dev/null bs=4k count=64 skip=$((reader * 256)) iflag=direct 2>/dev/null || exit 1
		done &
	done
done
wait
"""


def define(drives, group: str, parent: str, kind: str, *attributes: str) -> UmdevDrive:
    """A drive of the group, not started."""
    ident = str(uuid.uuid4())
    words = [word for attribute in attributes for word in ("--attr", attribute)]
    drives.ctl("define", "-u", ident, "-p", parent, "-t", kind, "--group", group, *words)
    return UmdevDrive(drives, ident)


def test_guest_holds_a_group(drives, boot):
    """Two drives on two parents, started as one: no other machine gets one of them while the first has any."""
    group = str(uuid.uuid4())
    drives.add_parent("other", "size=2G")
    pair = [define(drives, group, parent, "nvme-1g") for parent in ("pool", "other")]
    drives.ctl("group", "start", group)
    first = boot(*pair)
    shown = json.loads(drives.ctl("group", "show", group, "--json"))
    assert shown["state"] == "in-use" and shown["client"]["pid"] == first.pid
    first.check(WRITE_AND_READ)

    for drive in pair:
        with pytest.raises(VmError):
            boot(drive)
    refusal = pair[1].wait_until(lambda mdev: mdev.get("last_refusal"), "the refusal is told")["last_refusal"]
    assert str(first.pid) in refusal
    first.check(WRITE_AND_READ)
    first.poweroff()

    pair[0].wait_until(lambda mdev: not mdev["in_use"], "the drives are free")
    second = boot(*pair)
    assert json.loads(drives.ctl("group", "show", group, "--json"))["client"]["pid"] == second.pid
    second.check("dd if=/dev/nvme0n1 of=/dev/null bs=1M count=8 iflag=direct")
    second.poweroff()


def test_two_levels(drives, boot):
    """A machine with two drives in a group gets as much as one with one; within, 1:3 as the members' weights say."""
    group = str(uuid.uuid4())
    drives.add_parent("slow", "size=96M", "types=32m", f"service_us={SERVICE_US}", "parallelism=1")
    members = [define(drives, group, "slow", "nvme-32m", f"mdev/weight={weight}") for weight in (100, 300)]
    drives.ctl("group", "start", group)
    alone = drives.drive("32m", parent="slow")
    guests = [boot(*members), boot(alone)]
    jobs = [guest.spawn(READ) for guest in guests]
    for drive in (*members, alone):
        drive.wait_until(lambda _, d=drive: usage(drives, d)["queued"] >= READERS // 2, "the guest's readers wait")
    before = [usage(drives, drive) for drive in (*members, alone)]
    drives.ctl("blame", alone.ident, "--seconds", "8", "--json")
    after = [usage(drives, drive) for drive in (*members, alone)]
    owned = [new["owned_ns"] - old["owned_ns"] for old, new in zip(before, after)]
    assert [part / sum(owned) for part in owned] == pytest.approx((1 / 8, 3 / 8, 1 / 2), abs=0.02)
    for guest in guests:
        guest.check("touch /tmp/stop")
    assert [job.wait().code for job in jobs] == [0, 0]
    for guest in guests:
        guest.poweroff()
