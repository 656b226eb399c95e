# SPDX-License-Identifier: BSD-3-Clause
"""What only umdev's drives have: kinds that attributes and options choose, and an operator beside the guest."""

import contextlib
import shlex

import pytest

from umdevtest.daemon import Rpc
from umdevtest.vfiouser import Client
from vmlib import VmError

pytestmark = pytest.mark.umdev_only

WRITE_AND_READ = """
set -e
dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null
dd if=/tmp/data of=/dev/nvme0n1 bs=64k oflag=direct 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
dd if=/dev/nvme0n1 of=/tmp/read bs=1M count=16 iflag=direct 2>/dev/null
cmp /tmp/data /tmp/read
nvme reset /dev/nvme0
dd if=/tmp/data of=/dev/nvme0n1 bs=4k count=64 seek=4096 oflag=direct 2>/dev/null
dd if=/dev/nvme0n1 of=/tmp/read bs=4k count=64 skip=4096 iflag=direct 2>/dev/null
cmp -n 262144 /tmp/data /tmp/read
"""


@pytest.mark.parametrize("attributes", [["interrupts=msi"], ["interrupts=intx"], ["doorbells=shared"], ["queues=1"]],
                         ids=lambda attributes: attributes[0])
def test_attributes(drives, boot, attributes):
    """Each kind of interrupts and doorbells carries I/O and a controller reset, with two CPUs."""
    guest = boot(drives.drive(attributes=attributes), cpus=2)
    guest.check(WRITE_AND_READ)
    guest.poweroff()


@pytest.mark.parametrize("options", [["size=4G", "block_size=4096"], ["size=4G", "io=threads"], ["ram=1088M"]],
                         ids=lambda options: options[-1])
def test_parents(drives, boot, options):
    """Each kind of parent carries I/O; the guest sees the parent's block size."""
    drives.add_parent("other", *options)
    guest = boot(drives.drive(parent="other"))
    expected = 4096 if "block_size=4096" in options else 512
    assert int(guest.check("cat /sys/block/nvme0n1/queue/logical_block_size")) == expected
    guest.check(WRITE_AND_READ)
    guest.poweroff()


def test_arguments_as_printed(drives, boot):
    """A machine started with what qemu-args prints, memory and all, has the drives."""
    pair = [drives.drive() for _ in range(2)]
    printed = drives.ctl("qemu-args", "--memory", "300M", "--shell", *(drive.ident for drive in pair))
    guest = boot(arguments=shlex.split(printed), own_memory=False, memory_mb=300)
    assert guest.check("ls -d /dev/nvme?n1").split() == ["/dev/nvme0n1", "/dev/nvme1n1"]
    guest.check(WRITE_AND_READ)
    guest.poweroff()


def test_use_is_seen(drives, boot):
    """While a machine has a drive, umdev says so and refuses to stop it; after, it does not."""
    drive = drives.drive()
    assert not drive.describe()["in_use"]
    guest = boot(drive)
    mdev = drive.describe()
    assert mdev["in_use"] and mdev["state"] == "in-use" and mdev["client"]["pid"] == guest.pid
    with pytest.raises(VmError, match=drive.ident):
        drive.stop()
    guest.check(WRITE_AND_READ)
    guest.poweroff()
    drive.wait_until(lambda mdev: not mdev["in_use"], "the drive is free")
    drive.restart()


def test_forced_stop(drives, boot):
    """A drive taken away by force: the machine lives on, lets go of it, and gets it back with its data."""
    drive = drives.drive(attributes=["interrupts=msi"])
    guest = boot()
    drive.plug(guest)
    guest.wait_for("[ -b /dev/nvme0n1 ]")
    guest.check(WRITE_AND_READ)
    drive.stop("--force")
    drive.unplug(guest)
    guest.wait_for("[ ! -e /dev/nvme0 ]")

    drive.start()
    drive.plug(guest)
    guest.wait_for("[ -b /dev/nvme0n1 ]")
    guest.check("dd if=/dev/nvme0n1 of=/tmp/read bs=1M count=16 iflag=direct && cmp /tmp/data /tmp/read")


def test_stop_right_after_the_end(drives, boot):
    """What a QEMU polled the kernel closes a while after its process is gone. That is waited for: by the next client, and
    by who stops the mdev."""
    drive = drives.drive()
    with contextlib.closing(Rpc(drive.control_socket)) as rpc:
        for next_is in ("client", "stop"):
            guest = boot(drive, own_kernel=False)
            drive.wait_until(lambda mdev: mdev["in_use"], "QEMU is connected")
            guest.kill()
            if next_is == "stop":
                rpc.call("mdev.stop", uuid=drive.ident)
                break
            with Client(drive.socket) as client:
                client.like_qemu()


def test_unshared_memory_is_refused(drives, boot):
    """With private guest memory a device would silently work on nothing: the client is refused, with the reason."""
    drive = drives.drive()
    # It is found out when the firmware talks to the drive, and QEMU 11 does not outlive that there.
    with pytest.raises(VmError, match="went away"):
        boot(drive, own_memory=False,
             arguments=["-object", "memory-backend-memfd,id=private,size=256M,share=off",
                        "-machine", "memory-backend=private"])
    mdev = drive.wait_until(lambda mdev: mdev.get("last_refusal"), "the client is refused")
    assert "share=on" in mdev["last_refusal"]
    assert "share=on" in drives.ctl("list", "-v", "-u", drive.ident)
    assert "share=on" in drives.ctl("events", "-u", drive.ident)

    guest = boot(drive)
    guest.check(WRITE_AND_READ)
    guest.poweroff()
