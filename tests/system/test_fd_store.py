# SPDX-License-Identifier: BSD-3-Clause
"""The daemon and hosts die together, and the service manager has stored what was kept: clients notice a pause.

UMDEV_STORE_KILLS   how often all is killed under load; 6 by default
UMDEV_STORE_ROUNDS  how often something comes and goes before it is looked for what is left; 50 by default
"""

import contextlib
import os
import random
import signal
import socket
import threading

import pytest

from test_broker_kill import Carrier
from test_life import Drive
from umdevtest import Failure, process, wait_for
from umdevtest.daemon import Daemon
from umdevtest.load import Load
from umdevtest.manager import ManagedDaemon, check_empty
from umdevtest.vfiouser import MSIX, DATA_EVENTFD, TRIGGER, Client, Disconnected, GuestMemory, eventfd

KILLS = int(os.environ.get("UMDEV_STORE_KILLS", "6"))
ROUNDS = int(os.environ.get("UMDEV_STORE_ROUNDS", "50"))
BASE = 3  # descriptors of an mdev that nobody uses: page, socket, record
CLIENT = 1 + 1 + 2  # of a client of User: connection, memory, interrupts
INDEX = 1
PARENTS = 4  # three, of which one is in memory


@pytest.fixture
def make_managed(reachable_bin):
    """Makes services; at the end each must stop without a trace, in the store either."""
    made = []

    def make(**keywords):
        daemon = ManagedDaemon(bindir=reachable_bin, arguments=["--no-tree", *keywords.pop("arguments", ())], **keywords)
        made.append(daemon)
        return daemon

    yield make
    problems = []
    for daemon in made:
        try:
            if daemon.running or daemon.crashed:
                daemon.stop()
                check_empty(daemon.manager)
        except AssertionError as error:
            problems.append(str(error))
        daemon.remove()
    assert not problems, problems


@pytest.fixture
def managed(make_managed):
    """A running service with parents of two drivers, on a file, on memory, and on nothing."""
    daemon = make_managed()
    daemon.start()
    add_parents(daemon)
    return daemon


def add_parents(daemon) -> None:
    """Adds the parents file, ram and com."""
    daemon.ok("parent", "add", "file", "--driver", "nvme", "--option", f"path={daemon.directory}/file.img",
              "--option", "size=160M", "--option", "types=16m,32m")
    daemon.ok("parent", "add", "ram", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m,32m")
    daemon.ok("parent", "add", "com", "--driver", "serial")


class User:
    """A client with one piece of guest memory and two interrupts."""

    def __init__(self, daemon, ident: str, memory=None):
        self.memory = memory or GuestMemory()
        segment = self.memory.segments[0] if memory else self.memory.add(0x100000, 0x10000)
        self.client = Client(daemon.socket_path(ident), self.memory)
        self.client.like_qemu()
        self.client.dma_map(segment)
        self.events = [eventfd(), eventfd()]
        self.client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 2, fds=self.events)

    def close(self) -> None:
        """Leaves."""
        self.client.close()
        for fd in self.events:
            os.close(fd)

    def is_served(self) -> bool:
        """Whether the device answers on the same connection."""
        return self.client.read32(0, 8) != 0  # VS of NVMe

    def is_gone(self) -> bool:
        """Whether the server let it go."""
        return self.client.closed_by_server(10)


def stored(daemon) -> int:
    """How many descriptors are stored, once the manager has read all."""
    daemon.manager.settle()
    return len(daemon.manager.stored)


def settled(daemon) -> int:
    """The same when clients, whose first commands are yet to come, have had time to ask for all they need."""
    seen = [0]

    def still() -> bool:
        seen.append(stored(daemon))
        return len(seen) > 5 and len(set(seen[-5:])) == 1
    wait_for(still, "the clients to have all they need", 20, 0.1)
    return seen[-1]


def await_stored(daemon, count: int) -> None:
    """Waits until so many are: the daemon hears of a descriptor before the client has its answer, but not at once."""
    try:
        wait_for(lambda: stored(daemon) == count, "stored descriptors", 10)
    except Failure:
        raise Failure(f"stored are {daemon.manager.stored}, and not {count}") from None


def start(daemon, parent: str, kind: str = "nvme-16m", *options) -> str:
    """Starts an mdev."""
    return daemon.ok("start", "-p", parent, "-t", kind, *options).strip()


# ---- all is killed


def test_killed_together_under_load(managed):
    """No command fails, no block is another one, no byte is lost, and it is the same client."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    drives = [start(managed, "file"), start(managed, "file"), start(managed, "ram", "nvme-32m")]
    port = start(managed, "com", "serial-1")
    carrier = Carrier(managed, port)
    loads = [Load(managed, ident, 3600, rw="randrw", size="4M", depth=8, rate=1500, verify=True) for ident in drives]
    try:
        wait_for(lambda: all(managed.mdev(ident)["in_use"] for ident in (*drives, port)), "the clients to be there")
        clients = {ident: managed.mdev(ident)["client"] for ident in (*drives, port)}
        count = settled(managed)
        for _ in range(KILLS):
            begun = carrier.carried
            wait_for(lambda was=begun: carrier.carried > was or carrier.error, "bytes to be carried", 30)
            # In the midst of something, not of the same thing each time.
            wait_for(lambda: rng.random() < 0.02, "a random moment", 30)
            managed.kill_all("file", "ram", "com")
            managed.start()
            assert {ident: managed.mdev(ident)["client"] for ident in clients} == clients
            await_stored(managed, count)
        results = [load.stop() for load in loads]
    finally:
        for load in loads:
            load.kill()
        carrier.close()
    for result in results:
        assert result["errors"] == 0 and result["mismatches"] == 0 and result["verified_blocks"] > 0
    assert managed.manager.refused == 0 and managed.manager.hung_up == 0


def test_host_dies_while_there_is_no_daemon(managed):
    """Then one of them comes from the store and the other from its host."""
    dead, alive = start(managed, "file"), start(managed, "ram")
    with Drive(managed, dead) as one, Drive(managed, alive) as other:
        one.write(0, b"1" * 512)
        other.write(0, b"2" * 512)
        count = stored(managed)
        host = managed.host_pid("file")
        managed.crash()
        other.write(8, b"3" * 512)
        os.kill(host, signal.SIGKILL)
        wait_for(lambda: process.over(host), "the end of the host")
        managed.start()
        assert one.read(0, 512) == b"1" * 512
        assert other.read(0, 512) + other.read(8, 512) == b"2" * 512 + b"3" * 512
        assert managed.mdev(dead)["in_use"] and managed.mdev(alive)["in_use"]
        await_stored(managed, count)


class Crowd(threading.Thread):
    """Clients of one mdev that come and go, one after another, until one finds its connection closed."""

    def __init__(self, daemon, ident: str, rounds: int):
        super().__init__(daemon=True)
        self._service, self._mdev, self.rounds = daemon, ident, rounds
        self.come = 0
        self.error = None
        self.start()

    def run(self):
        try:
            while self.come < self.rounds:
                with contextlib.closing(User(self._service, self._mdev)) as user:
                    assert user.is_served()
                self.come += 1
        except (Disconnected, ConnectionError, FileNotFoundError):
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


def test_killed_while_clients_come(managed):
    """Whoever was half way in is served or let go; nobody waits for ever, and whoever sits there stays."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    quiet, busy = start(managed, "ram"), [start(managed, "ram") for _ in range(2)]
    calm = User(managed, quiet)
    for _ in range(KILLS):
        crowds = [Crowd(managed, ident, 100000) for ident in busy]
        wait_for(lambda all_=crowds: all(crowd.come > 2 or crowd.error for crowd in all_), "clients to come")
        wait_for(lambda: rng.random() < 0.2, "a random moment", 30)
        managed.kill_all("ram")
        managed.start()
        assert calm.is_served()
        for crowd in crowds:
            crowd.rounds = crowd.come + 1
            crowd.join(30)
            assert not crowd.is_alive() and crowd.error is None, crowd.error
    calm.close()


def test_what_was_stopped_stays_stopped(managed):
    """Nothing is stored of what is not active, nor of a parent that was removed."""
    kept, stopped, gone = start(managed, "file"), start(managed, "file"), start(managed, "ram")
    managed.ok("stop", "-u", stopped)
    managed.ok("stop", "-u", gone)
    managed.ok("parent", "remove", "ram")
    await_stored(managed, INDEX + 2 + BASE)
    managed.kill_all("file")
    managed.start()
    assert managed.mdev(kept)["active"]
    assert managed.mdev(stopped) is None and managed.mdev(gone) is None


def test_parent_with_other_options(managed):
    """Whose options are others than those that it was opened with begins anew, without its clients."""
    ident, other = start(managed, "file"), start(managed, "ram")
    user, neighbour = User(managed, ident), User(managed, other)
    managed.kill_all("file", "ram")
    path = managed.root / "etc/umdev/parents.d/file.json"
    path.write_text(path.read_text().replace("16m,32m", "16m"))
    managed.start()
    assert user.is_gone() and managed.mdev(ident) is None
    assert neighbour.is_served()
    for one in (user, neighbour):
        one.close()


def test_parent_that_was_removed(managed):
    """Of a parent that is not configured any more nothing stays stored, and its clients are let go."""
    ident, other = start(managed, "file"), start(managed, "ram")
    user, neighbour = User(managed, ident), User(managed, other)
    managed.kill_all("file", "ram")
    (managed.root / "etc/umdev/parents.d/file.json").unlink()
    managed.start()
    assert user.is_gone() and neighbour.is_served()
    await_stored(managed, INDEX + PARENTS - 1 + BASE + CLIENT)
    for one in (user, neighbour):
        one.close()


def test_file_that_is_another(managed):
    """Clients do not go on on another file than theirs."""
    ident = start(managed, "file")
    user = User(managed, ident)
    managed.kill_all("file")
    image = managed.directory / "file.img"
    copy = managed.directory / "copy.img"
    copy.write_bytes(image.read_bytes())
    copy.rename(image)
    managed.start()
    assert user.is_gone()
    user.close()


def test_memory_of_a_parent(managed):
    """What was in the memory of a parent is there again, also where no device was active."""
    ident = managed.ok("define", "-p", "ram", "-t", "nvme-16m").strip()
    managed.ok("start", "-u", ident)
    with Drive(managed, ident) as drive:
        drive.write(0, b"m" * 512)
    managed.ok("stop", "-u", ident)
    managed.kill_all("ram")
    managed.start()
    managed.ok("start", "-u", ident)
    with Drive(managed, ident) as drive:
        assert drive.read(0, 512) == b"m" * 512


def test_group_has_its_client(managed):
    """Who uses a group still does, and nobody else gets in."""
    group = ["--group", "00000000-0000-4000-8000-00000000000a"]
    one, other = (start(managed, "ram", "nvme-16m", *group) for _ in range(2))
    user = User(managed, one)
    managed.kill_all("ram")
    managed.start()
    assert user.is_served() and managed.mdev(one)["client"]["pid"] == os.getpid()
    mine = User(managed, other)  # of the same process
    assert mine.is_served()
    mine.close()
    user.close()


# ---- how much there is room for


def test_room(make_managed):
    """At the limit all is stored; one past it an mdev is not, says so, works, and is lost when all is killed."""
    room = INDEX + 1 + 2 * (BASE + CLIENT)
    managed = make_managed(maximum=room)
    managed.start()
    managed.ok("parent", "add", "ram", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    first, second = start(managed, "ram"), start(managed, "ram")
    users = [User(managed, first), User(managed, second)]
    # The memory of the parent takes one, so the second client is one past it.
    await_stored(managed, INDEX + 2 + BASE + CLIENT)
    wait_for(lambda: managed.mdev(second)["in_use"], "the second client to be known")
    assert users[1].is_served()
    assert [event["uuid"] for event in managed.events() if "service manager's store" in event["message"]] == [second]
    found = managed.ctl("doctor").out
    assert "1 mdevs are not in it" in found and "FileDescriptorStoreMax" in found
    # With a client that has one interrupt less it fits.
    users[1].close()
    wait_for(lambda: not managed.mdev(second)["in_use"], "the client to have left")
    await_stored(managed, INDEX + 2 + 2 * BASE + CLIENT)
    client = Client(managed.socket_path(second), GuestMemory())
    client.like_qemu()
    client.dma_map(client.memory.add(0, 0x10000))
    events = [eventfd(), eventfd()]
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=events[:1])
    await_stored(managed, room)
    assert "0 mdevs are not in it" in managed.ctl("doctor").out
    managed.kill_all("ram")
    managed.start()
    assert users[0].is_served() and client.read32(0, 8)
    # And past it again.
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 1, 1, fds=events[1:])
    await_stored(managed, INDEX + 2 + BASE + CLIENT)
    managed.kill_all("ram")
    managed.start()
    assert users[0].is_served() and client.closed_by_server(10)
    assert managed.manager.refused == 0
    for one in (users[0].client, client):
        one.close()
    for fd in (*events, *users[0].events):
        os.close(fd)


def test_manager_stores_less_than_we_think(make_managed):
    """Then what is not there is missed, and costs those whose it was."""
    managed = make_managed(maximum=INDEX + 2 + BASE + CLIENT + BASE + 1, said=False, arguments=["--fd-store", "100"])
    managed.start()
    managed.ok("parent", "add", "ram", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    users = [User(managed, start(managed, "ram")) for _ in range(2)]
    wait_for(lambda: managed.manager.refused > 0, "the manager to refuse something")
    managed.kill_all("ram")
    managed.start()
    assert users[0].is_served() and users[1].is_gone()
    for user in users:
        user.close()


def test_without_a_store(make_managed):
    """A manager that says nothing of a store is told that the daemon is ready, and no more."""
    managed = make_managed(said=False)
    managed.start()
    managed.ok("parent", "add", "ram", "--driver", "nvme", "--option", "ram=64M", "--option", "types=16m")
    user = User(managed, start(managed, "ram"))
    managed.manager.settle()
    assert managed.manager.messages == 1 and managed.manager.states == ["READY"] and not managed.manager.stored
    assert "fd store" not in managed.ctl("doctor").out
    user.close()


def test_memory_that_two_devices_have_is_stored_once(managed):
    """The manager takes an open file once; whoever leaves first does not take it along."""
    one, other = start(managed, "ram"), start(managed, "ram")
    first = User(managed, one)
    second = User(managed, other, first.memory)
    await_stored(managed, INDEX + PARENTS + 2 * (BASE + CLIENT) - 1)
    first.client.close()
    wait_for(lambda: not managed.mdev(one)["in_use"], "the first to have left")
    managed.kill_all("ram")
    managed.start()
    assert second.is_served()
    for user in (first, second):
        user.close()


# ---- what is in it may be anything


def junk(number: int) -> int:
    """A descriptor of some other kind."""
    if number % 4 == 0:
        return os.open("/dev/null", os.O_RDWR)
    if number % 4 == 1:
        return os.memfd_create("junk")
    if number % 4 == 2:
        return os.eventfd(0)
    one, other = socket.socketpair()
    other.close()
    return one.detach()


@pytest.mark.parametrize("what", ["names", "kinds", "gone", "index", "no index", "index of noise", "twice"])
def test_garbage(managed, what):
    """It costs at most the clients of the mdevs that it belongs to; what nobody understands is taken out."""
    rng = random.Random(what)
    idents = [start(managed, "file") for _ in range(3)]
    users = [User(managed, ident) for ident in idents]
    await_stored(managed, INDEX + PARENTS + 3 * (BASE + CLIENT))
    names = managed.manager.stored
    managed.kill_all("file")
    if what == "names":
        for number, name in enumerate(["stored", "u", "u00", "uzz", "ufffffffff", "uffffffff", "x" * 255, "u7fffffff"]):
            managed.manager.put(name, junk(number))
    elif what == "kinds":
        for number, name in enumerate(names[5:]):
            managed.manager.remove(name)
            managed.manager.put(name, junk(number))
    elif what == "gone":
        for name in rng.sample(names[1:], 8):
            managed.manager.remove(name)
    elif what == "twice":
        managed.manager.put(names[7], junk(1))
    elif what.startswith("index"):
        fd = dict(managed.manager.fds())["u0"]
        for _ in range(200 if what == "index" else 0):
            os.pwrite(fd, rng.randbytes(4), rng.randrange(16, 60000) & ~3)
        if what == "index of noise":
            os.pwrite(fd, rng.randbytes(os.fstat(fd).st_size - 16), 16)
    else:
        managed.manager.remove("u0")
        managed.manager.put("u0", junk(1))
    managed.start()
    assert managed.parent("file")["state"] == "ready"
    if what in ("names", "twice"):
        assert all(user.is_served() for user in users)
    # Whoever is still there is served, and all can be used.
    for ident, user in zip(idents, users):
        mdev = managed.mdev(ident)
        if mdev and mdev["in_use"]:
            assert user.is_served()
        else:
            assert user.is_gone()
        user.close()
    for ident in idents:
        if managed.mdev(ident):
            managed.ok("stop", "--force", "-u", ident)
    fresh = User(managed, start(managed, "file"))
    assert fresh.is_served()
    fresh.close()
    wait_for(lambda: not any(mdev["in_use"] for mdev in managed.rpc("mdev.list")["mdevs"]), "all to have left")
    await_stored(managed, INDEX + PARENTS + BASE)


def test_nothing_is_left(managed):
    """However often mdevs and clients come and go."""
    ident = start(managed, "file")
    before = stored(managed)
    for number in range(ROUNDS):
        user = User(managed, ident)
        other = start(managed, "ram" if number % 2 else "com", "nvme-16m" if number % 2 else "serial-1")
        if number % 10 == 9:
            managed.crash()
            managed.start()
        user.close()
        managed.ok("stop", "-u", other)
        if number % 25 == 24:
            managed.kill_all("file", "ram", "com")
            managed.start()
    wait_for(lambda: not managed.mdev(ident)["in_use"], "the last to have left")
    await_stored(managed, before)


# ---- the daemon starts anew, the manager is slow


def test_started_anew(managed):
    """The program that it becomes knows what is stored, and takes it from there if a host dies meanwhile."""
    ident = start(managed, "file")
    user = User(managed, ident)
    before = INDEX + PARENTS + BASE + CLIENT
    await_stored(managed, before)
    for number in range(4):
        host = managed.host_pid("file")
        managed.forget()
        if number % 2:
            os.kill(host, signal.SIGSTOP)  # it answers nobody, and dies while it is asked
        os.kill(managed.pid, signal.SIGUSR2)
        wait_for(lambda n=number: managed.manager.states.count("RELOADING") > n, "the daemon to start anew")
        if number % 2:
            os.kill(host, signal.SIGKILL)
        wait_for(lambda n=number: managed.manager.states.count("READY") > n + 1, "the daemon to be ready", 20)
        assert user.is_served()
        wait_for(lambda: managed.mdev(ident)["state"] == "in-use", "the mdev to be back")
        await_stored(managed, before)
    user.close()
    wait_for(lambda: not managed.mdev(ident)["in_use"], "the client to have left")
    await_stored(managed, before - CLIENT)


def test_slow_manager(managed):
    """Nobody waits for it; what it was not told in time costs those whose it was, and nothing is left in the end."""
    ident, quiet, busy = start(managed, "file"), start(managed, "ram"), start(managed, "ram")
    calm, last = User(managed, quiet), User(managed, ident)
    before = INDEX + PARENTS + 3 * BASE + 2 * CLIENT
    await_stored(managed, before)
    managed.manager.pause()
    for _ in range(ROUNDS):
        with contextlib.closing(User(managed, busy)) as user:
            assert user.is_served()
    managed.manager.resume()
    wait_for(lambda: not managed.mdev(busy)["in_use"], "the busy ones to have left")
    await_stored(managed, before)
    managed.manager.pause()
    for _ in range(ROUNDS):
        with contextlib.closing(User(managed, busy)) as user:
            assert user.is_served()
    # Its place in the store is taken by the one before, which must not be taken for it.
    fresh = eventfd()
    last.client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=[fresh])
    wait_for(lambda: not managed.mdev(busy)["in_use"], "the busy ones to have left")
    host, other, running = managed.host_pid("file"), managed.host_pid("ram"), managed.pid
    for pid in (running, host, other):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(process.over(pid) for pid in (running, host, other)), "all to be over")
    managed.manager.resume()
    managed.crash()
    managed.start()
    assert last.is_gone() and calm.is_served()
    os.close(fresh)
    for user in (calm, last):
        user.close()
    wait_for(lambda: not managed.mdev(quiet)["in_use"], "the last to have left")
    await_stored(managed, before - 2 * CLIENT)


@pytest.mark.parametrize("reads", [True, False], ids=["late", "never"])
def test_slow_manager_at_the_end(managed, reads):
    """A daemon that ends has the manager take everything out, also if that is slow to read, but does not wait for ever."""
    users = [User(managed, start(managed, "ram")) for _ in range(3)]
    await_stored(managed, INDEX + PARENTS + 3 * (BASE + CLIENT))
    managed.manager.pause()
    later = threading.Timer(0.5, managed.manager.resume)
    if reads:
        later.start()
    Daemon.stop(managed)
    managed.manager.resume()
    later.cancel()
    managed.manager.settle()
    assert bool(managed.manager.stored) is not reads
    for user in users:
        user.close()
    managed.manager.clear()


def test_what_the_daemon_did_not_hear(managed):
    """A descriptor that was replaced while the daemon heard nothing: the one before is not taken for it."""
    ident, quiet = start(managed, "ram"), start(managed, "ram")
    user, calm = User(managed, ident), User(managed, quiet)
    await_stored(managed, INDEX + PARENTS + 2 * (BASE + CLIENT))
    host, running = managed.host_pid("ram"), managed.pid
    fresh = eventfd()
    os.kill(running, signal.SIGSTOP)
    user.client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=[fresh])
    for pid in (running, host):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: process.over(running) and process.over(host), "both to be over")
    managed.crash()
    managed.start()
    assert user.is_gone() and calm.is_served()
    assert any("before all of it was stored" in event["message"] for event in managed.events(ident))
    with contextlib.closing(User(managed, ident)) as again:
        assert again.is_served()
    os.close(fresh)
    for one in (user, calm):
        one.close()
