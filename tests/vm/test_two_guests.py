# SPDX-License-Identifier: BSD-3-Clause
"""Two machines at once, each with its own drive of one parent."""

WRITE = """
set -e
dd if=/dev/urandom of=/tmp/data bs=1M count=64 2>/dev/null
dd if=/tmp/data of=/dev/nvme0n1 bs=1M oflag=direct 2>/dev/null
md5sum < /tmp/data
rm /tmp/data
"""
READ = "dd if=/dev/nvme0n1 bs=1M count=64 iflag=direct 2>/dev/null | md5sum"


def test_each_reads_what_it_wrote(drives, boot):
    """64 MiB of random data a machine, written side by side and read back side by side."""
    guests = [boot(drives.drive()) for _ in range(2)]
    written = [job.wait() for job in [guest.spawn(WRITE) for guest in guests]]
    assert [code for code, _ in written] == [0, 0], written
    assert written[0].output != written[1].output

    read = [job.wait() for job in [guest.spawn(READ) for guest in guests]]
    assert [result.output for result in read] == [result.output for result in written]

    for guest in guests:
        guest.poweroff()
