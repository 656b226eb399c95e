# SPDX-License-Identifier: BSD-3-Clause
"""Many mdevs and clients on one parent: what each costs stays within what is stated, and nothing is left behind.

tests/bench/scale is the long form.

UMDEV_SCALE   how many mdevs, 200 by default; a tenth of them have clients
"""

import os

import pytest

from umdevtest import scale
from umdevtest.daemon import SANITIZED, Daemon
from umdevtest.mortal import kill_host, wait_back

pytestmark = pytest.mark.alone

MDEVS = int(os.environ.get("UMDEV_SCALE") or 200)
CLIENTS = MDEVS // 10
ROUNDS = 5
WARM_ROUNDS = 2
ROUND_MDEVS = 20
ROUND_CLIENTS = 5
RATE = 50
# Stated in docs/performance.md.
IDLE_KIB = 64
IDLE_FDS = 3
CLIENT_FDS = 6
IDLE_S = 1.0
# A heap that settles, and the ring of events: 350 bytes for each that is not full of them yet.
GROWTH_KIB = 512


def test_many():
    with Daemon() as daemon:
        scale.add_parent(daemon, MDEVS)
        first, _ = scale.start(daemon, 1)
        one = scale.settled(daemon)
        idents, _ = scale.start(daemon, MDEVS - 1)
        idle = scale.settled(daemon)
        each = idle.per(one, len(idents))
        print(f"each idle mdev: {each}")
        assert all(fds <= IDLE_FDS for fds, _, _ in each.values()), each
        assert SANITIZED or sum(rss for _, rss, _ in each.values()) <= IDLE_KIB, each
        busy = scale.idle_ns(daemon, IDLE_S)
        assert all(ns == 0 for ns in busy.values()), busy
        with scale.Crowd(daemon, idents[:CLIENTS], RATE) as crowd:
            full = scale.settled(daemon)
            each = full.per(idle, CLIENTS)
            print(f"each client: {each}")
            assert all(fds <= CLIENT_FDS for fds, _, _ in each.values()), each
            wait_back(daemon, scale.PARENT, kill_host(daemon, scale.PARENT))
            for ident in (idents[CLIENTS], idents[-1], first[0]):
                scale.answers(daemon, ident)
            again = scale.settled(daemon)
            assert again.counts() == full.counts()
            waits = [report["lat_ns"]["max"] / 1e6 for report in crowd.stop()]
            print(f"the host was killed: the longest command took {max(waits):.0f} ms")
        assert scale.settled(daemon).counts() == idle.counts()
        scale.stop(daemon, idents)
        assert scale.settled(daemon).counts() == one.counts()


def test_rounds():
    with Daemon() as daemon:
        scale.add_parent(daemon, MDEVS)
        early = None
        for number in range(ROUNDS):
            idents, _ = scale.start(daemon, ROUND_MDEVS)
            scale.visit(daemon, idents[:ROUND_CLIENTS])
            scale.stop(daemon, idents)
            if number == WARM_ROUNDS - 1:
                early = scale.settled(daemon)
        late = scale.settled(daemon)
        assert late.pids == early.pids, "a process was replaced"
        assert late.counts() == early.counts()
        assert late.pages == 0 and daemon.rpc("mdev.list")["mdevs"] == []
        grown = {name: kib - early.resident()[name] for name, kib in late.resident().items()}
        print(f"grown by {grown} KiB in {ROUNDS - WARM_ROUNDS} rounds")
        assert SANITIZED or all(kib <= GROWTH_KIB for kib in grown.values()), grown
