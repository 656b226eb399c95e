# SPDX-License-Identifier: BSD-3-Clause
"""The state of a drive is saved while its machine stands still, and not while it works.

Whether a machine is paused only QEMU knows: umdevd looks whether its drive is left alone for 0.1 s and has nothing to do.
The drive here takes 20 ms for each command, and gets 16 at once, so it always has something to do while it is used.
"""

import time

import pytest

from vmlib import VmError
from vmlib.writers import COMPLAINTS, worker

pytestmark = pytest.mark.umdev_only

SAVES = 3
TRIES = 5      # a machine that gets no processor for half a second looks as if it was paused
SLOW = ("size=2G", "parallelism=1", "service_us=20000")
PROGRESS = 20  # commands
READERS = 4
AT_ONCE = 8    # commands in flight of a drive that is used

# Four commands of 1 MiB at once.
READER = """
while [ ! -e /tmp/stop ]; do
	dd if=/dev/nvme0n1 of=/dev/null bs=4M count=32 skip=16 iflag=direct 2>/dev/null || exit 1
done
"""


def jobs(drive) -> int:
    """Commands that the drive has completed."""
    return drive.describe()["statistics"]["jobs"]


def refused(drives, drive, path) -> bool:
    """Tries to save a drive that is used. Returns whether it was refused, with the reason."""
    drive.wait_until(lambda mdev: mdev["statistics"]["in_flight"] >= AT_ONCE, "the load works")
    try:
        drives.ctl("save", drive.ident, path)
    except VmError as error:
        assert drive.ident in str(error) and "whose guest is running: pause that" in str(error), error
        assert not path.exists()
        return True
    path.unlink()
    return False


def test_paused(drives, boot, directory):
    """Paused, saved, continued, over and over: the writers find every byte, and the kernel saw nothing."""
    drives.add_parent("slow", *SLOW)
    drive = drives.drive(parent="slow")
    guest = boot(drive)
    writers = [guest.spawn(worker(0, 256, 4)), guest.spawn(worker(1, 64, 4))]
    readers = [guest.spawn(READER) for _ in range(READERS)]
    path = directory / "state"
    for number in range(SAVES):
        assert any(refused(drives, drive, path) for _ in range(TRIES))
        guest.qmp.command("stop")
        drives.ctl("save", drive.ident, path)
        before = jobs(drive)
        state = path.read_bytes()
        # It stays as it was saved, and so the two belong together: this state and the memory of the machine.
        path.unlink()
        drives.ctl("save", drive.ident, path)
        assert path.read_bytes() == state
        assert jobs(drive) == before and drive.describe()["in_use"]
        path.unlink()
        if number == SAVES - 1:
            time.sleep(1)  # a longer one
        guest.qmp.command("cont")
        drive.wait_until(lambda mdev, least=before + PROGRESS: mdev["statistics"]["jobs"] > least, "the load goes on")
    guest.check("touch /tmp/stop")
    results = [job.wait() for job in (*writers, *readers)]
    assert not any(code for code, _ in results), results
    assert min(int(output) for _, output in results[:2]) > 0
    assert not COMPLAINTS.search(guest.dmesg()), guest.dmesg()
    guest.require_health()
    guest.poweroff()
