# SPDX-License-Identifier: BSD-3-Clause
"""The daemon is killed at any step of an upgrade, and of taking over what that leaves: one host goes on with all.

UMDEV_UPGRADE_KILLS  at how many steps, spread evenly (16); 0: at every one
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from test_life import Drive
from umdevtest import Failure, process, wait_for
from umdevtest.daemon import RpcError, new_uuid
from umdevtest.killer import Killer, possible
from umdevtest.load import Load, wait_worked

KILLS = int(os.environ.get("UMDEV_UPGRADE_KILLS", "16"))
STEPS_MAX = 4000
WATCH_S = 2  # in which nothing is left to be done


def chosen(steps: int) -> range:
    """Some of the steps 1..steps, others each time."""
    stride = max(1, steps // KILLS) if KILLS else 1
    return range(random.randrange(stride) + 1, steps + 1, stride)


class World:
    """A parent with a drive that is verified under load, one whose client now and then looks, and an idle one."""

    def __init__(self, daemon, stack):
        self.daemon = daemon
        self.parent = f"p{new_uuid()[:8]}"
        self._stack = stack
        daemon.ok("parent", "add", self.parent, "--driver", "nvme", "--option", f"path={daemon.directory}/p.img",
                  "--option", "size=96M", "--option", "types=16m")
        self.idents = []
        self.populate()

    def populate(self) -> None:
        """New drives with new clients."""
        self.idents = [self.daemon.ok("start", "-p", self.parent, "-t", "nvme-16m").strip() for _ in range(3)]
        self._nvme = self._stack.enter_context(Drive(self.daemon, self.idents[1]))
        self.load = Load(self.daemon, self.idents[0], 3600, rw="randrw", queues=2, depth=16, rate=1500, size="4M",
                         verify=True, timeout=20)
        self._stack.callback(self.load.kill)
        wait_for(lambda: self.daemon.mdev(self.idents[0])["in_use"] or not self.load.running, "the client", 20)
        self._clients = [self.daemon.mdev(ident).get("client") for ident in self.idents]
        self._written = 0

    def clear(self) -> None:
        """Takes down what is left of that."""
        self.load.kill()
        self._stack.pop_all().close()
        for ident in self.idents:
            if self.daemon.mdev(ident):
                self.daemon.ok("stop", "-u", ident, "--force")

    def hosts(self) -> list:
        """The processes that have the parent, in the order of their start."""
        found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and process.start_time(int(entry))]
        return sorted(pid for pid in found if self._is_host(pid))

    def _is_host(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return b"--name" in words and words[words.index(b"--name") + 1] == self.parent.encode()
        return False

    def upgrade(self, outcome: list) -> None:
        """Asks for it; whether it came to its end, or nobody said."""
        try:
            with contextlib.closing(self.daemon.connect()) as connection:
                connection.call("parent.upgrade", name=self.parent)
            outcome.append(True)
        except RpcError as error:
            outcome.append(str(error))
        except (Failure, OSError):
            outcome.append(None)

    def served(self, number: int) -> bool:
        """Whether one of the drives is there for the client that it had from the beginning."""
        mdev = self.daemon.mdev(self.idents[number])
        pids = [(client or {}).get("pid") for client in ((mdev or {}).get("client"), self._clients[number])]
        return bool(mdev and mdev["active"] and pids[0] == pids[1])

    def look(self) -> None:
        """The client that now and then looks does so."""
        self._written += 1
        data = self._written.to_bytes(4, "little") * 128
        self._nvme.write(8 * (self._written % 64), data)
        assert self._nvme.read(8 * (self._written % 64), 512) == data

    def host(self) -> int:
        """The process that has the parent, which is the only one."""
        host = self.daemon.host_pid(self.parent)
        wait_for(lambda: self.hosts() == [host], "the end of the other host", 5)
        return host

    def check(self) -> int:
        """All is served, by one process, to the clients that were there from the beginning: which process."""
        host = self.host()
        assert self.load.running, self.daemon.log_tail()
        for number in range(3):
            assert self.served(number), (self.daemon.mdev(self.idents[number]), self.daemon.log_tail())
        self.look()
        return host

    def end(self) -> dict:
        """Ends the load, which may be a new one: nothing was wrong. The drive that nobody used can be used."""
        wait_worked(self.daemon, self.idents[0])
        report = self.load.stop()
        assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
        with Drive(self.daemon, self.idents[2]) as nvme:
            nvme.write(0, b"i" * 512)
        return report


@pytest.fixture
def world(make_daemon):
    """See World."""
    reason = possible()
    if reason:
        pytest.skip(reason)
    daemon = make_daemon(os.geteuid(), arguments=["--no-tree"])
    daemon.start()
    with contextlib.ExitStack() as stack:
        yield World(daemon, stack)
    if not daemon.running:
        daemon.stop()


def count_steps(world) -> int:
    """How many steps the daemon makes until nothing is left to be done but to watch."""
    killer = Killer(world.daemon.pid)
    asking = threading.Thread(target=world.upgrade, args=([],))
    before = world.hosts()[0]
    asking.start()
    wait_for(lambda: len(world.hosts()) == 2 and world.daemon.parent(world.parent)["host"]["pid"] != before, "a switch")
    time.sleep(0.1)
    steps = killer.end()
    asking.join()
    world.check()
    assert 20 < steps < STEPS_MAX
    return steps


def killed_at(world, step: int):
    """Upgrades, and kills the daemon before that step; whether anybody was told how it ended."""
    outcome = []
    killer = Killer(world.daemon.pid, step)
    asking = threading.Thread(target=world.upgrade, args=(outcome,))
    asking.start()
    asking.join()
    killer.end()
    return outcome[0]


def test_killed_at_every_step(world):
    """Whoever had the parent at that moment, one of the two goes on, and no client is lost."""
    steps = count_steps(world)
    went_on = Counter()
    for step in chosen(steps):
        before = world.check()
        told = killed_at(world, step)
        world.daemon.crash()
        world.daemon.start()
        after = world.check()
        went_on["told" if told else "the old one" if after == before else "the next one"] += 1
    print(f"{steps} steps: {dict(went_on)}")
    assert went_on["the old one"] and went_on["the next one"]
    world.end()


def test_the_next_daemon_is_killed_too(world):
    """In the middle of taking over what a death in an upgrade has left; over and over."""
    steps = count_steps(world)
    kills = 0
    for step in chosen(steps):
        world.check()
        killed_at(world, step)
        world.daemon.crash()
        for _ in range(3):
            world.daemon.launch()
            killer = Killer(world.daemon.pid, random.randrange(1, 700))
            time.sleep(0.05)
            kills += killer.end() < 0
            world.daemon.crash()
        world.daemon.start()
        world.check()
    print(f"killed {kills} times on the way")
    assert kills > 0
    world.end()


@pytest.mark.parametrize("who", ["old", "next"])
def test_a_host_is_killed_too(world, who):
    """At about the same moment. What the daemon and the host had that died may be lost; the rest, and all bytes that
    are served on, are as if nothing had happened."""
    steps = count_steps(world)
    kept = Counter()
    for step in chosen(steps):
        before = world.check()
        killer = Killer(world.daemon.pid, step)
        asking = threading.Thread(target=world.upgrade, args=([],))
        asking.start()
        wait_for(lambda: len(world.hosts()) > 1 or not asking.is_alive(), "the next host, or the end of the daemon")
        if random.randrange(2):
            asking.join()
        for pid in [pid for pid in world.hosts() if (pid == before) == (who == "old")]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        asking.join()
        killer.end()
        world.daemon.crash()
        world.daemon.start()
        world.host()
        served = [world.served(number) for number in range(3)]
        assert world.load.running or not served[0]
        if served[1]:
            world.look()
        kept[sum(served)] += 1
        if not all(served):
            world.clear()
            world.populate()
    print(f"{who}: drives that were served on: {dict(kept)}")
    assert kept[3]
    world.end()
