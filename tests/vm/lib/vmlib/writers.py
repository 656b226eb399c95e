# SPDX-License-Identifier: BSD-3-Clause
"""What a guest does to its drive while something is done to that: shell text, until there is /tmp/stop."""

import re

COMPLAINTS = re.compile(r"nvme.*(timeout|abort|reset|error|controller is down)|I/O error|blk_update", re.IGNORECASE)

# Random data goes to its half of the drive and comes back from there, until /tmp/stop is there. The file of
# data is rewritten in each round, so that no old block passes for a new one.
WORKER = """
set -e
rounds=0
while [ ! -e /tmp/stop ]; do
	dd if=/dev/urandom of=/tmp/data.{number} bs=64k count={count} 2>/dev/null
	dd if=/tmp/data.{number} of=/dev/nvme0n1 bs={size} seek={seek} oflag=direct conv=notrunc 2>/dev/null
	want=$(md5sum < /tmp/data.{number})
	got=$(dd if=/dev/nvme0n1 bs={size} skip={seek} count={blocks} iflag=direct 2>/dev/null | md5sum)
	[ "$want" = "$got" ]
	rounds=$((rounds + 1))
done
echo $rounds
"""

# Something to be completed at any time.
READER = """
while [ ! -e /tmp/stop ]; do
	dd if=/dev/nvme0n1 of=/dev/null bs=4k count=256 iflag=direct 2>/dev/null || exit 1
done
"""


def worker(number: int, size: int, count: int = 16) -> str:
    """The script that uses its own MiB of the drive, in transfers of so many KiB."""
    total = 64 * count
    return WORKER.format(number=number, count=count, size=f"{size}k", seek=number * total // size, blocks=total // size)
