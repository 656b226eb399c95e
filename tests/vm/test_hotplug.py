# SPDX-License-Identifier: BSD-3-Clause
"""Drives come to a running machine, and go."""

import pytest

WRITE = """
set -e
dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null
dd if=/tmp/data of=/dev/nvme0n1 bs=64k oflag=direct 2>/dev/null
md5sum < /tmp/data
"""
READ = "dd if=/dev/nvme0n1 bs=64k count=256 iflag=direct 2>/dev/null | md5sum"


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_plug_and_unplug_twice(drives, boot, machine):
    """device_add, I/O, device_del, twice; the second time the data of the first is there."""
    # QEMU 11.1 aborts when it lets go of a vfio-user device that has MSI-X.
    drive = drives.drive(attributes=["interrupts=msi"])
    guest = boot(machine=machine)
    written = None
    for _ in range(2):
        drive.plug(guest)
        guest.wait_for("[ -b /dev/nvme0n1 ]")
        if written:
            assert guest.check(READ) == written
        written = guest.check(WRITE)
        assert guest.check(READ) == written
        drive.unplug(guest)
        guest.wait_for("[ ! -e /dev/nvme0 ]")
    guest.poweroff()
