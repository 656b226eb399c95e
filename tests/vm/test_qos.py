# SPDX-License-Identifier: BSD-3-Clause
"""Two machines that compete for one parent get what the weights of their drives say, and soon after they change."""

import json

import pytest

from vmlib import VmError

pytestmark = [pytest.mark.umdev_only, pytest.mark.alone]

# Long against what an emulated guest takes from one command to the next, so that its queue never runs empty.
SERVICE_US = 8000
READERS = 16
SECONDS = 8

# Each reader has a place of its own, and reads it over and over.
READ = f"""
for reader in $(seq {READERS}); do
	while [ ! -e /tmp/stop ]; do
		dd if=/dev/nvme0n1 of=/dev/null bs=4k count=64 skip=$((reader * 256)) iflag=direct 2>/dev/null || exit 1
	done &
done
wait
"""


def usage(drives, drive) -> dict:
    """What umdev says of the drive's knobs and use."""
    return json.loads(drives.ctl("qos", drive.ident, "--json"))


def compete(drives, pair) -> tuple:
    """For a while: how the jobs of the two drives divided, and their ownership; each as second : first."""
    before = [usage(drives, drive) for drive in pair]
    blame = json.loads(drives.ctl("blame", pair[0].ident, "--seconds", SECONDS, "--json"))
    after = [usage(drives, drive) for drive in pair]
    for found in before + after:
        if found["queued"] == 0:
            raise VmError(f"a guest is too slow to keep its queue filled: {found}")
    # Each has a time of its own, a few milliseconds after the other's.
    rates = [(new["jobs"] - old["jobs"]) / (new["time_ns"] - old["time_ns"]) for old, new in zip(before, after)]
    (peer,) = blame["peers"]
    return rates[1] / rates[0], peer["owned_ns"] / blame["owned_ns"]


def test_weights_divide_the_parent(drives, boot):
    """1:3 as started, 1:1 once umdevctl says so, while both read all the time."""
    drives.add_parent("slow", "size=64M", "types=32m", f"service_us={SERVICE_US}", "parallelism=1")
    pair = [drives.drive("32m", [f"mdev/weight={weight}"], parent="slow") for weight in (100, 300)]
    guests = [boot(drive) for drive in pair]
    jobs = [guest.spawn(READ) for guest in guests]
    for drive in pair:
        drive.wait_until(lambda _, d=drive: usage(drives, d)["queued"] >= READERS // 2, "the guest's readers wait")

    assert compete(drives, pair) == pytest.approx((3, 3), rel=0.03)
    drives.ctl("qos", pair[1].ident, "--weight", "100")
    assert compete(drives, pair) == pytest.approx((1, 1), rel=0.03)

    for guest in guests:
        guest.check("touch /tmp/stop")
    assert [job.wait().code for job in jobs] == [0, 0]
    for guest in guests:
        guest.poweroff()
