# SPDX-License-Identifier: BSD-3-Clause
"""The stage of a wire test: a daemon with an nvme and a null parent, a neighbour at work, and targets.

A target is an mdev of its own for one test. When the test is over, the host process must be the one
it was, the host and the broker must hold exactly the descriptors they held before, no guest memory
may be mapped any more, and the neighbour must have gone on working.
"""

import os
from collections import Counter, namedtuple

from . import Failure, process, wait_for
from .daemon import Daemon, new_uuid
from .neighbour import Neighbour
from .nvme import Nvme
from .vfiouser import Client, GuestMemory

STORE, PLAIN = "store", "plain"
TYPE, PLAIN_TYPE = "nvme-16m", "null-basic"
CAPACITY = 16 << 20


def count_descriptors(pid: int) -> Counter:
    """How many descriptors of each kind a process holds."""
    return Counter(what.split(":")[0] if what.startswith(("socket:", "pipe:")) else what
                   for what in process.descriptors(pid).values())


class Holdings(namedtuple("Holdings", "pid host broker")):
    """The process of a parent, its descriptors and those of the broker, counted by what they are."""

    def difference(self, later: "Holdings") -> tuple:
        """What came since: (of the host, of the broker)."""
        host, broker = Counter(later.host), Counter(later.broker)
        host.subtract(self.host)
        broker.subtract(self.broker)
        return host, broker

    def plus(self, cost: tuple, of_this_host: bool) -> "Holdings":
        """With a difference on top."""
        host, broker = Counter(self.host), Counter(self.broker)
        if of_this_host:
            host.update(cost[0])
        broker.update(cost[1])
        return Holdings(self.pid, +host, +broker)

    def tell(self, later: "Holdings") -> str:
        """The difference in words."""
        host, broker = self.difference(later)
        return ", ".join(f"{name}: {count:+d} {what}" for name, counts in (("host", host), ("broker", broker))
                         for what, count in sorted(counts.items()) if count)


class Target:
    """One mdev and the clients that a test lets loose on it."""

    def __init__(self, world: "World", parent: str, kind: str, attrs):
        self.world, self.parent = world, parent
        self.uuid = new_uuid()
        self._clients = []
        self._memories = []
        before = world.holdings(parent)
        world.daemon.rpc("mdev.start", uuid=self.uuid, parent=parent, type=kind, attrs=attrs)
        self.path = world.daemon.socket_path(self.uuid)
        # What the mdev itself costs. Clients of other targets may be there: only the difference counts.
        self.cost = before.difference(world.holdings(parent))
        self.since = world.daemon.next_event()

    # ---- clients

    def connect(self, memory: GuestMemory = None) -> Client:
        """A connection, not negotiated."""
        client = Client(self.path, memory)
        self._clients.append(client)
        return client

    def qemu(self, memory: GuestMemory = None) -> Client:
        """A client that has negotiated as QEMU does."""
        client = self.connect(memory)
        client.like_qemu()
        return client

    def memory(self) -> GuestMemory:
        """Guest memory that is given back at the end."""
        memory = GuestMemory()
        self._memories.append(memory)
        return memory

    def drive(self, with_fd: bool = True, queue: bool = True, **keywords) -> Nvme:
        """A running controller with its client, like QEMU's."""
        nvme = Nvme(self.qemu(self.memory()), with_fd=with_fd, **keywords)
        nvme.enable()
        if queue:
            nvme.io_queue(1)
        return nvme

    def wait_free(self) -> None:
        """Waits until the server has seen that the last client left."""
        wait_for(lambda: not self.listing()["in_use"], "the device to be free")

    def leave(self) -> None:
        """All clients go, without a word; the device is free again."""
        self._give_back()
        self.wait_free()

    # ---- what the operator sees

    def listing(self) -> dict:
        """The mdev as mdev.list tells it."""
        return self.world.daemon.mdev(self.uuid)

    def statistics(self) -> dict:
        """Its statistics."""
        return self.listing()["statistics"]

    def refusal(self, *words: str) -> str:
        """The reason of the first client.refused event, which must hold the words; list -v shows it too."""
        event = self.world.daemon.wait_event("client.refused", self.uuid, self.since)
        self.since = event["seq"] + 1
        for word in words:
            if word not in event["message"]:
                raise Failure(f"the refusal {event['message']!r} does not say {word!r}")
        shown = wait_for(lambda: self.listing().get("last_refusal"), "last_refusal")
        if shown != event["message"]:
            raise Failure(f"list shows {shown!r}, the event said {event['message']!r}")
        return event["message"]

    def not_refused(self) -> None:
        """No client was refused or thrown out."""
        found = [event for event in self.world.daemon.events(self.uuid, self.since)
                 if event["event"] == "client.refused"]
        if found:
            raise Failure(f"a client was refused: {found[0]['message']}")

    # ---- the end

    # ---- the end

    def _give_back(self) -> None:
        while self._clients:
            self._clients.pop().close()
        while self._memories:
            self._memories.pop().close()

    def remove(self) -> None:
        """Stops the mdev, whatever state the test left it in."""
        self._give_back()
        if self.world.daemon.running and self.world.daemon.mdev(self.uuid):
            self.world.daemon.rpc("mdev.stop", uuid=self.uuid, force=True)


class World:
    """The daemon and its parents."""

    def __init__(self):
        self.daemon = Daemon()
        self.neighbour = None
        try:
            self.daemon.start()
            self.daemon.rpc("parent.add", name=STORE, driver="nvme", options={
                "path": str(self.daemon.directory / "store.img"), "size": "256M", "types": "16m,64m,rest"})
            self.daemon.rpc("parent.add", name=PLAIN, driver="null", options={})
            # One mdev of each parent is always there, so that what a host makes once is made already.
            self.daemon.rpc("mdev.start", parent=PLAIN, type=PLAIN_TYPE)
            ident = new_uuid()
            self.daemon.rpc("mdev.start", uuid=ident, parent=STORE, type=TYPE)
            self.neighbour = Neighbour(self.daemon.socket_path(ident))
        except BaseException:
            self.close(quiet=True)
            raise

    def close(self, quiet: bool = False) -> None:
        """The end of it: nothing wrong anywhere."""
        try:
            if self.neighbour:
                self.neighbour.close()
        finally:
            try:
                self.daemon.stop()
            except Failure:
                if not quiet:
                    raise
            finally:
                self.daemon.remove()

    def target(self, parent: str = STORE, kind: str = None, attrs=()) -> Target:
        """A new mdev."""
        kind = kind or (TYPE if parent == STORE else PLAIN_TYPE)
        return Target(self, parent, kind, [{name: value} for name, value in attrs])

    def holdings(self, parent: str) -> "Holdings":
        """What the host of a parent and the broker hold now."""
        pid = self.daemon.host_pid(parent)
        return Holdings(pid, count_descriptors(pid), count_descriptors(self.daemon.pid))

    def account(self, before: dict, targets: list) -> None:
        """
        With all clients gone: the hosts are the processes they were, they and the broker hold what
        they held before and what the targets cost, and no memory of a guest is mapped.
        """
        for parent, old in before.items():
            expected = old
            for target in targets:
                expected = expected.plus(target.cost, target.parent == parent)
            if self.daemon.host_pid(parent) != expected.pid:
                raise Failure(f"the host of {parent} died: {self.daemon.log_tail()} {self.daemon.sanitizer_report()}")
            try:
                wait_for(lambda p=parent, e=expected: self.holdings(p) == e, "return of all descriptors", 5)
            except Failure as error:
                raise Failure(f"{error}: {expected.tell(self.holdings(parent))}") from None
            mapped = self.guest_maps(parent)
            if mapped:
                raise Failure(f"guest memory is still mapped: {mapped}")

    def guest_maps(self, parent: str) -> list:
        """Where the host has memory of a test's guest mapped."""
        pid = self.daemon.host_pid(parent)
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            return [line.strip() for line in maps if "memfd:guest" in line]

    def check(self) -> None:
        """After each test: no sanitizer report, all processes alive, the neighbour at work."""
        if not self.daemon.running:
            raise Failure(f"umdevd died: {self.daemon.log_tail()}")
        report = self.daemon.sanitizer_report()
        if report:
            raise Failure(report)
        self.neighbour.check()
        self.daemon.look()


def file_of(size: int) -> int:
    """A memfd of a size, for memory that is not what it claims."""
    fd = os.memfd_create("guest", os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd
