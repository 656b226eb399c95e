# SPDX-License-Identifier: BSD-3-Clause
"""Hosts that are killed, or upgraded, while machines write to their drives and read back what they wrote.

The machine's own driver must see nothing: no error, no timeout, no reset, and every byte as it was
written. How long the drive stood still is printed, from the kill to the first command that the next
host completed.

UMDEV_KILLS      how many kills, at random moments (8)
UMDEV_UPGRADES   how many upgrades (3)
"""

import json
import os
import signal
import socket
import statistics
import time

import pytest

from umdevtest.mortal import seeded
from vmlib.writers import COMPLAINTS, READER, worker

pytestmark = [pytest.mark.umdev_only, pytest.mark.alone]

KILLS = int(os.environ.get("UMDEV_KILLS", "8"))
UPGRADES = int(os.environ.get("UMDEV_UPGRADES", "3"))
BACK_LIMIT_S = 30


class Watch:
    """The daemon's RPC, asked often."""

    def __init__(self, root):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(root / "run/umdev/control.sock"))
        self._file = self._socket.makefile("rb")

    def call(self, method: str, **params):
        """A method's result."""
        self._socket.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        return json.loads(self._file.readline())["result"]

    def host(self, parent: str):
        """The process that serves a parent, None while there is none that does."""
        (found,) = [p for p in self.call("parent.list")["parents"] if p["name"] == parent]
        return found["host"]["pid"] if found["host"] and found["state"] == "ready" else None

    def jobs(self, ident: str) -> int:
        """Commands that its present host has completed; 0 where that cannot be told now."""
        (mdev,) = self.call("mdev.list", uuid=ident)["mdevs"]
        return (mdev.get("statistics") or {}).get("jobs", 0)

    def close(self):
        """Ends the connection."""
        self._file.close()
        self._socket.close()


def kill_and_time(watch: Watch, parent: str, ident: str) -> float:
    """Kills the host of a parent; how long it took until the next one had completed something, in ms."""
    before = watch.host(parent)
    began = time.monotonic()
    os.kill(before, signal.SIGKILL)
    while watch.host(parent) in (None, before) or watch.jobs(ident) == 0:
        assert time.monotonic() < began + BACK_LIMIT_S, "no other host came"
    return (time.monotonic() - began) * 1000


def test_verified_writes(drives, boot, record_property):
    """Two writers with checksums, small and large transfers, while the host dies again and again."""
    rnd = seeded()
    drive = drives.drive()
    guest = boot(drive)
    jobs = [guest.spawn(worker(0, 4)), guest.spawn(worker(1, 256)), guest.spawn(READER)]
    watch = Watch(drives.root)
    stalls = []
    for _ in range(KILLS):
        time.sleep(rnd.uniform(0.5, 1.5))
        stalls.append(kill_and_time(watch, "pool", drive.ident))
    time.sleep(1)
    guest.check("touch /tmp/stop")
    results = [job.wait(120) for job in jobs]
    watch.close()
    assert [code for code, _ in results] == [0, 0, 0], results
    rounds = [int(output) for _, output in results[:2]]
    assert min(rounds) > 0
    assert not COMPLAINTS.search(guest.dmesg()), guest.dmesg()
    assert drive.describe()["in_use"]
    text = f"{KILLS} kills, {rounds[0]} and {rounds[1]} verified rounds; stall p50 {statistics.median(stalls):.0f} ms, " \
           f"max {max(stalls):.0f} ms"
    record_property("figures", text)
    print(text)
    guest.require_health()
    guest.poweroff()


def test_upgrades(drives, boot, record_property):
    """The same writers, while the host is upgraded; each upgrade says how long the drive stood still."""
    drive = drives.drive()
    guest = boot(drive)
    jobs = [guest.spawn(worker(0, 4)), guest.spawn(worker(1, 256)), guest.spawn(READER)]
    pauses = []
    for _ in range(UPGRADES):
        (result,) = json.loads(drives.ctl("--json", "upgrade", "pool"))
        pauses += [mdev["pause_ns"] / 1e6 for mdev in result["mdevs"]]
    guest.check("touch /tmp/stop")
    results = [job.wait(120) for job in jobs]
    assert [code for code, _ in results] == [0, 0, 0], results
    assert min(int(output) for _, output in results[:2]) > 0
    assert len(pauses) == UPGRADES
    assert not COMPLAINTS.search(guest.dmesg()), guest.dmesg()
    text = f"{UPGRADES} upgrades: pause p50 {statistics.median(pauses):.1f} ms, max {max(pauses):.1f} ms"
    record_property("figures", text)
    print(text)
    guest.require_health()
    guest.poweroff()
