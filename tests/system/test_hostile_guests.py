# SPDX-License-Identifier: BSD-3-Clause
"""Clients that do everything wrong at once, beside one that verifies every block it reads.

The neighbour must see no error. How much its latency suffers is printed, as a ratio to what it is without them: the
storage is shared, so it may suffer, but stay bounded.

UMDEV_HOSTILE_STEPS   steps of each villain (10000)
UMDEV_TEST_SEED       of what they do; printed
"""

import os
import random
import time

import pytest

from umdevtest import wait_for
from umdevtest.child import Child
from umdevtest.load import Load
from umdevtest.mortal import kill_host, seeded, wait_back
from umdevtest.process import descriptors
from umdevtest.vfiouser import Client
from umdevtest.villain import Villain

STEPS = int(os.environ.get("UMDEV_HOSTILE_STEPS", "10000"))
VILLAINS = 3
RSS_LIMIT = 96 << 20  # more than it was; state pages and guest memory that is touched count
BACK_S = 20


def drives(daemon, backend: str) -> list:
    """A parent with a drive for each; the neighbour's is the first."""
    options = {"file": [f"path={daemon.directory}/disk.img", "size=64M"], "memory": ["ram=64M"]}[backend]
    daemon.ok("parent", "add", "p", "--driver", "nvme", *(word for text in (*options, "types=8m")
                                                          for word in ("--option", text)))
    return [daemon.ok("start", "-p", "p", "-t", "nvme-8m").strip() for _ in range(VILLAINS + 1)]


def neighbour(daemon, ident: str, runtime_s: float = 3600) -> Load:
    """A client at a low rate that verifies what it reads."""
    load = Load(daemon, ident, runtime_s, depth=4, rw="randrw", verify=True, rate=1000, timeout=30)
    wait_for(lambda: daemon.mdev(ident)["in_use"] or not load.running, "the neighbour", 20)
    return load


def anonymous(pid: int) -> int:
    """Bytes of memory that are a process's own."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return sum(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))


def guest_maps(pid: int) -> list:
    """Memory of a villain that is still mapped."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return [line for line in maps if "memfd:guest" in line]


def rampage(path: str, seed: int, steps: int) -> tuple:
    """One villain from beginning to end."""
    villain = Villain(path, random.Random(seed))
    try:
        for _ in range(steps):
            villain.step()
    finally:
        villain.close()
    return villain.steps, villain.expelled, villain.stuck


def run(daemon, idents, rnd, meanwhile) -> dict:
    """Lets villains loose and says what the neighbour saw; @meanwhile is called until they are through."""
    quiet = neighbour(daemon, idents[0], 1).result()
    load = neighbour(daemon, idents[0])
    seeds = [rnd.randrange(1 << 31) for _ in idents[1:]]
    children = [Child(daemon.uid, rampage, daemon.socket_path(ident), seed, STEPS)
                for ident, seed in zip(idents[1:], seeds)]
    began = time.monotonic()
    while any(alive(child.pid) for child in children):
        meanwhile()
        time.sleep(0.05)
    results = [child.result() for child in children]
    seconds = time.monotonic() - began
    time.sleep(0.5)
    report = load.stop()
    assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
    p99 = [part["lat_ns"]["p99"] / 1e3 for part in (quiet, report)]
    print(f"{VILLAINS} villains, {STEPS} steps each in {seconds:.1f} s, thrown out {[out for _, out, _ in results]} times, "
          f"stuck {[stuck for _, _, stuck in results]} times; "
          f"neighbour p99 {p99[0]:.0f} us alone, {p99[1]:.0f} us with them: {p99[1] / p99[0]:.1f} times, "
          f"longest {report['lat_ns']['max'] / 1e6:.1f} ms")
    return report


def alive(pid: int) -> bool:
    """Whether a child runs."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def check_free(daemon, idents) -> None:
    """Nothing is left of the villains, and their devices serve whoever comes."""
    for ident in idents[1:]:
        wait_for(lambda i=ident: not daemon.mdev(i)["in_use"], "the device to be free", BACK_S)
        Load(daemon, ident, 0.2, rw="randrw", verify=True, depth=4).result()
        wait_for(lambda i=ident: not daemon.mdev(i)["in_use"], "the last client's end", BACK_S)


@pytest.mark.parametrize("backend", ["file", "memory"])
def test_everything_at_once(daemon, backend):
    """Resets, disconnects, memory that comes, goes and shrinks, queues anywhere: nobody else notices."""
    rnd = seeded()
    idents = drives(daemon, backend)
    pid = daemon.host_pid("p")
    check_free(daemon, idents)
    open_before, memory_before = len(descriptors(pid)), anonymous(pid)
    run(daemon, idents, rnd, lambda: None)
    assert daemon.host_pid("p") == pid
    check_free(daemon, idents)
    assert not guest_maps(pid)
    wait_for(lambda: len(descriptors(pid)) == open_before, "return of all descriptors")
    assert anonymous(pid) - memory_before < RSS_LIMIT


def test_everything_and_deaths(daemon):
    """The same while the host is killed now and then: each successor comes up and lets go of whom it must."""
    rnd = seeded()
    idents = drives(daemon, "file")
    state = {"next": time.monotonic() + 0.7, "kills": 0}

    def kill_now_and_then():
        if time.monotonic() < state["next"] or daemon.parent("p")["state"] != "ready":
            return
        before = kill_host(daemon, "p")
        wait_back(daemon, "p", before)
        state["kills"] += 1
        state["next"] = time.monotonic() + rnd.uniform(0.5, 1.0)
    run(daemon, idents, rnd, kill_now_and_then)
    assert state["kills"] > 0
    deaths = [event["event"] for event in daemon.events()].count("host.died")
    assert deaths == state["kills"], "a host died by itself"
    check_free(daemon, idents)
    assert daemon.parent("p")["state"] == "ready"
    with Client(daemon.socket_path(idents[1])) as client:
        client.like_qemu()
        assert client.info()[0] & 2
