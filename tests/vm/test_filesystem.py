# SPDX-License-Identifier: BSD-3-Clause
"""Filesystems on drives live through reboots, restarts and a killed machine."""

DRIVES = ("nvme0n1", "nvme1n1")

MAKE = """
set -e
mkfs.ext4 -q /dev/{drive}
mkdir -p /mnt/{drive}
mount /dev/{drive} /mnt/{drive}
mkdir /mnt/{drive}/files
for i in 1 2 3 4 5 6 7 8; do
	dd if=/dev/urandom of=/mnt/{drive}/files/$i bs=1M count=4 2>/dev/null
done
cd /mnt/{drive}
md5sum files/* > sums
sync
cat sums
"""
VERIFY = """
set -e
mkdir -p /mnt/{drive}
mount /dev/{drive} /mnt/{drive}
cd /mnt/{drive}
md5sum -c sums >&2
cat sums
"""
UNMOUNT_AND_CHECK = "cd /; umount /mnt/{drive} && e2fsck -fn /dev/{drive}"


def serial_numbers(guest) -> list:
    """Which drive stands behind each device name."""
    return [guest.check(f"cat /sys/block/{drive}/device/serial").strip() for drive in DRIVES]


def test_survives_reboot_and_restart(drives, boot):
    """Two filesystems in one machine; after a reboot, and after stop and start, their files are whole."""
    pair = [drives.drive(), drives.drive()]
    guest = boot(*pair, cpus=2)
    names = serial_numbers(guest)
    assert len(set(names)) == 2
    sums = [guest.check(MAKE.format(drive=drive)) for drive in DRIVES]
    assert sums[0] != sums[1]

    guest.reboot()
    assert serial_numbers(guest) == names
    for drive, expected in zip(DRIVES, sums):
        assert guest.check(VERIFY.format(drive=drive)).endswith(expected)
        assert guest.run(UNMOUNT_AND_CHECK.format(drive=drive)).code == 0
    guest.poweroff()

    for drive in pair:
        drive.restart()
    guest = boot(*pair)
    assert serial_numbers(guest) == names
    for drive, expected in zip(DRIVES, sums):
        assert guest.check(VERIFY.format(drive=drive)).endswith(expected)
    guest.poweroff()


def test_survives_killed_machine(drives, boot):
    """QEMU dies while the guest writes; the next machine finds all that was synced, and a sound filesystem."""
    drive = drives.drive()
    guest = boot(drive)
    expected = guest.check(MAKE.format(drive="nvme0n1"))
    guest.spawn("while :; do dd if=/dev/urandom of=/mnt/nvme0n1/more bs=64k count=256 conv=fsync; done")
    guest.wait_for("[ -s /mnt/nvme0n1/more ]")
    guest.kill()

    guest = boot(drive)
    assert guest.check(VERIFY.format(drive="nvme0n1")).endswith(expected)
    assert guest.run(UNMOUNT_AND_CHECK.format(drive="nvme0n1")).code == 0
    guest.poweroff()
