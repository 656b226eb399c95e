# SPDX-License-Identifier: BSD-3-Clause
"""The serial driver as its users meet it: ports that end in terminals and sockets, and share a line.

UMDEV_SERIAL_KILLS   how often a host is killed, or replaced, under load; 4 by default

The guest is a driver of ours over vfio-user; what Linux does with the ports is looked at by the vm tests.
"""

import concurrent.futures
import contextlib
import json
import os
import random
import signal
import stat
import termios
import threading
import time
from pathlib import Path

import pytest

from lib_system import fails
from umdevtest import serial, wait_for
from umdevtest.daemon import NOBODY
from umdevtest.serial import BI, BREAK, CARRIER, CTS, DCD, DR, FIFO, IER, IIR, LCR, LSR, MCR, MSR, RBR, Line, Uart
from umdevtest.vfiouser import Client, eventfd, signals

BACKENDS = pytest.mark.parametrize("backend", ["pty", "unix"])
INTX = 0
SET_TRIGGER_BY_FD = 0x24  # eventfd, trigger
MUCH = 8000
KILLS = int(os.environ.get("UMDEV_SERIAL_KILLS", "4"))


def add_parent(daemon, **options) -> None:
    """A parent named com."""
    daemon.ok("parent", "add", "com", "--driver", "serial",
              *(word for name, value in options.items() for word in ("--option", f"{name}={value}")))


def start(daemon, ports: int = 1, *words) -> str:
    """An mdev of so many ports."""
    return daemon.ok("start", "-p", "com", "-t", f"serial-{ports}", *words).strip()


def endpoints(daemon, ident: str) -> list:
    """Where its ports end."""
    return daemon.mdev(ident)["endpoints"]


@contextlib.contextmanager
def guest(daemon, ident: str, count: int = 1):
    """The ports of an mdev, opened."""
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        yield [Uart(client, port).open() for port in range(count)]


@contextlib.contextmanager
def lines(daemon, ident: str):
    """The other ends of its ports."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Line(path)) for path in endpoints(daemon, ident)]


def counters(daemon, ident: str) -> dict:
    """What it has counted."""
    return daemon.mdev(ident)["statistics"]


@BACKENDS
def test_both_ways(daemon, backend):
    """Bytes of every value cross both ports of a device both ways, and are counted."""
    add_parent(daemon, backend=backend)
    ident = start(daemon, 2)
    data = [bytes(range(256)) * 4, random.Random(7).randbytes(1024)]
    with lines(daemon, ident) as ends, guest(daemon, ident, 2) as ports:
        for end, port, sent in zip(ends, ports, data):
            for at in range(0, len(sent), 32):  # few enough that a socket takes them as a message each
                port.send(sent[at:at + 32])
                assert end.receive(32) == sent[at:at + 32]
            assert end.offer(sent) == len(sent)
            assert port.receive(len(sent)) == sent
        found = counters(daemon, ident)
    assert found["tx_bytes"] == found["rx_bytes"] == 2048
    assert found["overruns"] == found["lost_bytes"] == 0
    assert found["peers"] == 2


def test_where_and_who(daemon):
    """The paths are shown, belong to the device, and are as open as its socket."""
    add_parent(daemon)
    attributes = ["--attr", "mdev/socket_mode=0660"]
    if daemon.uid == 0:
        attributes += ["--attr", f"mdev/socket_user={NOBODY}"]
    ident = start(daemon, 2, *attributes)
    directory = daemon.socket_path(ident).parent
    paths = endpoints(daemon, ident)
    assert paths == [str(directory / "port0"), str(directory / "port1")]
    assert all(f"Endpoint: {path}\n" in daemon.ok("list", "-v", "-u", ident) for path in paths)
    for path in paths:
        found = os.stat(path)
        assert stat.S_ISCHR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
        assert found.st_uid == (NOBODY if daemon.uid == 0 else daemon.uid)
    terminals = [os.readlink(path) for path in paths]
    assert len(set(terminals)) == 2
    daemon.ok("stop", "-u", ident)
    assert not directory.exists()
    assert not any(os.path.exists(terminal) for terminal in terminals)


def test_socket_and_who(daemon):
    """The same for sockets; a device without endpoints shows none."""
    add_parent(daemon, backend="unix")
    ident = start(daemon, 1, "--attr", "mdev/socket_mode=0622")
    (path,) = endpoints(daemon, ident)
    found = os.stat(path)
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o622
    daemon.ok("stop", "-u", ident)
    assert not Path(path).exists()
    daemon.ok("parent", "add", "nothing", "--driver", "null")
    other = daemon.ok("start", "-p", "nothing", "-t", "null-basic").strip()
    assert "endpoints" not in daemon.mdev(other)


def test_daemon_killed(daemon):
    """What a killed daemon leaves of endpoints is gone with its successor's first look."""
    add_parent(daemon, backend="unix")
    directories = [daemon.socket_path(start(daemon, 2)).parent for _ in range(2)]
    (directories[0] / "notes").write_text("not ours")
    daemon.kill()
    assert (directories[1] / "port1").exists()
    daemon.start()
    assert [entry.name for entry in directories[0].iterdir()] == ["notes"]
    assert not directories[1].exists()
    (directories[0] / "notes").unlink()


def test_pool(daemon):
    """Devices of one and of two ports draw on one pool."""
    def available() -> dict:
        return {name: found["available_instances"] for row in json.loads(daemon.ok("types", "--dumpjson"))
                for found_types in row.values() for name, found in
                ((name, value) for entry in found_types for name, value in entry.items())}

    add_parent(daemon, ports=5)
    assert available() == {"serial-1": 5, "serial-2": 2}
    two = start(daemon, 2)
    assert available() == {"serial-1": 3, "serial-2": 1}
    one = start(daemon, 1)
    other = start(daemon, 1)
    assert available() == {"serial-1": 1, "serial-2": 0}
    fails(daemon, "start", "-p", "com", "-t", "serial-2", says=["serial-2", "com"])
    start(daemon, 1)
    fails(daemon, "start", "-p", "com", "-t", "serial-1", says="serial-1")
    for ident in (two, one, other):
        daemon.ok("stop", "-u", ident)
    assert available()["serial-1"] == 4


def test_options(daemon):
    """Options out of range are refused by name; a parent of one port offers no device of two."""
    for option in ("ports=0", "ports=257", "backend=tty", "rate=-1", "breaks=maybe"):
        fails(daemon, "parent", "add", "com", "--driver", "serial", "--option", option, says=option.partition("=")[0])
    add_parent(daemon, ports=1)
    assert "serial-2" not in daemon.ok("types")


@BACKENDS
def test_slow_program(daemon, backend):
    """A program that does not read holds the guest up, and gets all that it sent."""
    add_parent(daemon, backend=backend)
    ident = start(daemon)
    data = random.Random(3).randbytes(400_000)
    with lines(daemon, ident) as (end,), guest(daemon, ident) as (port,):
        sent = 0
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 0.5 and sent < len(data):
            fed = port.feed(data[sent:])
            sent += fed
            if fed:
                quiet_since = time.monotonic()
        assert FIFO < sent < len(data), "nothing held the guest"
        held = counters(daemon, ident)["jobs"]
        got = end.receive(sent - 2 * FIFO)
        port.send(b"the end", limit_s=20)
        got += end.receive(sent + 7 - len(got))
        assert got == data[:sent] + b"the end"
        found = counters(daemon, ident)
    assert found["jobs"] > held
    assert found["lost_bytes"] == 0 and found["tx_bytes"] == sent + 7


@BACKENDS
def test_slow_guest(daemon, backend):
    """A guest that does not read, or says so by RTS, holds the program up, and nothing runs over."""
    add_parent(daemon, backend=backend)
    ident = start(daemon)
    data = random.Random(4).randbytes(1_000_000)
    with lines(daemon, ident) as (end,), guest(daemon, ident) as (port,):
        port.write(MCR, 0x01)
        sent = end.offer(data)
        time.sleep(0.1)
        assert not port.read(LSR) & DR
        port.write(MCR, 0x03)
        wait_for(lambda: port.read(LSR) & DR, "the first character")
        time.sleep(0.2)
        sent += end.offer(data[sent:])
        assert 1000 < sent < len(data), "nothing held the program"
        got = b""
        while len(got) < MUCH:
            got += port.take(5)
            if len(got) % 7 == 0:
                port.write(MCR, 0x01)
                time.sleep(0.001)
                port.write(MCR, 0x03)
        assert got == data[:len(got)]
        assert counters(daemon, ident)["overruns"] == 0


@BACKENDS
def test_carrier(daemon, backend):
    """The modem's lines and an interrupt tell whether somebody is there."""
    add_parent(daemon, backend=backend)
    ident = start(daemon)
    (path,) = endpoints(daemon, ident)
    fd = eventfd()
    with Client(daemon.socket_path(ident)) as client:
        client.like_qemu()
        client.set_irqs(SET_TRIGGER_BY_FD, INTX, 0, 1, fds=[fd])
        port = Uart(client).open()
        assert not port.carrier()
        port.send(b"to nobody")
        assert counters(daemon, ident)["lost_bytes"] == 9
        port.read(MSR)
        port.write(IER, 0x08)
        assert port.read(IIR) & 0x0f == 1 and not signals(fd)
        with Line(path) as end:
            assert signals(fd, 5)
            assert port.read(IIR) & 0x0f == 0
            assert port.read(MSR) & (CARRIER | 0x0b) == CARRIER | 0x0b
            end.offer(b"bye")
        assert port.receive(3) == b"bye"
        wait_for(lambda: not port.read(MSR) & DCD, "the carrier falls")
        assert not port.read(MSR) & CTS
        with Line(path):
            wait_for(port.carrier, "the carrier of the next")
    os.close(fd)


def test_nobody_costs_nothing(daemon):
    """Ports that nobody has open, or whose program has gone, take no time of a processor."""
    def ticks() -> int:
        fields = Path(f"/proc/{daemon.host_pid('com')}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    add_parent(daemon)
    idents = [start(daemon, 2) for _ in range(4)]
    with contextlib.ExitStack() as stack:
        ports = stack.enter_context(guest(daemon, idents[0], 2))
        with lines(daemon, idents[0]):
            wait_for(ports[0].carrier, "the carrier")
        wait_for(lambda: not ports[0].carrier(), "the carrier falls")
        before = ticks()
        time.sleep(1)
        assert ticks() - before <= 3


def test_speed(daemon):
    """The terminal has the speed that the guest sets."""
    add_parent(daemon)
    ident = start(daemon)
    with lines(daemon, ident) as (end,), guest(daemon, ident) as (port,):
        for divisor, speed in ((12, termios.B9600), (1, termios.B115200), (96, termios.B1200)):
            port.speed(divisor)
            assert termios.tcgetattr(end.fd)[4:6] == [speed, speed]


@BACKENDS
def test_breaks(daemon, backend):
    """With breaks=marks a break goes both ways in its place."""
    add_parent(daemon, backend=backend, breaks="marks")
    ident = start(daemon)
    with lines(daemon, ident) as (end,), guest(daemon, ident) as (port,):
        port.send(b"a\xff")
        port.write(LCR, 0x03 | BREAK)
        port.send(b"")
        port.write(LCR, 0x03)
        port.send(b"b")
        assert end.receive(7) == b"a\xff\xff\xff\0\0b"
        end.offer(b"c\xff\0\0d")
        wait_for(lambda: port.read(LSR) & DR, "a character")
        assert port.read(RBR) == ord("c")
        assert wait_for(lambda: port.read(LSR) & BI, "the break")
        assert port.read(RBR) == 0
        assert port.receive(1) == b"d"
        found = counters(daemon, ident)
    assert (found["breaks_in"], found["breaks_out"]) == (1, 1)


@BACKENDS
def test_host_killed(daemon, backend):
    """The host dies while no guest is there: the program at the other end does not notice, nor does the next guest."""
    add_parent(daemon, backend=backend)
    ident = start(daemon)
    (path,) = endpoints(daemon, ident)
    with lines(daemon, ident) as (end,):
        with guest(daemon, ident) as (port,):
            port.send(b"before")
            assert end.receive(6) == b"before"
        assert end.offer(b"kept") == 4
        since = daemon.next_event()
        os.kill(daemon.host_pid("com"), signal.SIGKILL)
        daemon.wait_event("host.started", since=since)
        wait_for(lambda: daemon.mdev(ident)["state"] == "active", "the mdev is back")
        assert endpoints(daemon, ident) == [path]
        with guest(daemon, ident) as (port,):
            assert port.receive(4) == b"kept"
            assert port.carrier()
            port.send(b"after")
            assert end.receive(5) == b"after"


def kill(daemon) -> None:
    """Another host comes because this one is killed."""
    since = daemon.next_event()
    os.kill(daemon.host_pid("com"), signal.SIGKILL)
    daemon.wait_event("host.started", since=since)


def upgrade(daemon) -> None:
    """Another host comes because it is asked for."""
    daemon.ok("upgrade", "com")


def replacer(daemon, stop, replace) -> int:
    """Replaces the host of a parent every now and then, at least KILLS times: how often."""
    count = 0
    # A host that dies younger than half a second is held back.
    while not stop.wait(0.6 + random.random() / 4) or count < KILLS:
        replace(daemon)
        count += 1
    return count


@BACKENDS
@pytest.mark.parametrize("replace", [kill, upgrade])
def test_replaced_while_carrying(daemon, record_property, backend, replace):
    """Hosts come and go under a guest that sends and receives: every byte arrives once, in its place."""
    add_parent(daemon, backend=backend)
    ident = start(daemon, 2)
    stop = threading.Event()
    tail = [random.Random(number) for number in range(4)]
    sent = [b""] * 4  # of both guests, then of both programs
    came = [b""] * 4  # to whom it was for
    with contextlib.ExitStack() as stack:
        ends = stack.enter_context(lines(daemon, ident))
        ports = stack.enter_context(guest(daemon, ident, 2))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
        stack.callback(stop.set)
        hosts = pool.submit(replacer, daemon, stop, replace)
        ends_at = time.monotonic() + KILLS
        while came != sent or not hosts.done():
            if time.monotonic() > ends_at:
                stop.set()
            assert time.monotonic() < ends_at + 60, [(len(a), len(b)) for a, b in zip(sent, came)]
            for number, (port, end) in enumerate(zip(ports, ends)):
                if not hosts.done():
                    more = tail[number].randbytes(FIFO)
                    sent[number] += more[:port.feed(more)]
                    more = tail[number + 2].randbytes(FIFO)
                    if len(sent[number + 2]) - len(came[number + 2]) < MUCH:
                        sent[number + 2] += more[:end.offer(more)]
                came[number] += end.take()
                came[number + 2] += port.take()
            assert all(a.startswith(b) for a, b in zip(sent, came))
        assert hosts.result() >= KILLS
        found = counters(daemon, ident)
    assert found["tx_bytes"] == len(sent[0]) + len(sent[1])
    assert found["rx_bytes"] == len(sent[2]) + len(sent[3])
    assert found["overruns"] == found["lost_bytes"] == 0
    record_property("figures", f"{backend}: {sum(map(len, sent))} bytes, {hosts.result()} times {replace.__name__}")
    print(f"{backend}: {sum(map(len, sent))} bytes, {hosts.result()} times {replace.__name__}")


def carry(pairs, seconds: float) -> list:
    """Keeps all ports sending and their ends reading for so long: how much each has carried meanwhile."""
    block = bytes(FIFO)
    carried = [0] * len(pairs)

    def turn() -> None:
        for number, (port, end) in enumerate(pairs):
            port.feed(block)
            carried[number] += len(end.take())

    settled = time.monotonic() + 0.5
    while time.monotonic() < settled:
        turn()
    before = list(carried)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        turn()
    return [now - was for now, was in zip(carried, before)]


@contextlib.contextmanager
def saturated(daemon, idents):
    """(port, end) of the only port of each."""
    with contextlib.ExitStack() as stack:
        pairs = []
        for ident in idents:
            (end,) = stack.enter_context(lines(daemon, ident))
            (port,) = stack.enter_context(guest(daemon, ident))
            pairs.append((port, end))
        yield pairs


@pytest.mark.alone  # a port that is not fed in time is not saturated
def test_weights_divide_the_line(daemon):
    """Two saturated ports of weight 1 and 3 carry as 1 to 3, and together what the line carries."""
    add_parent(daemon, rate=2000)
    idents = [start(daemon, 1, "--attr", f"mdev/weight={weight}") for weight in (100, 300)]
    with saturated(daemon, idents) as pairs:
        carried = carry(pairs, 4)
    assert 2.4 < carried[1] / carried[0] < 3.6, carried
    assert 0.6 * 8000 < sum(carried) <= 8000 + 2 * FIFO, carried


def test_cap_on_the_line(daemon):
    """One that may own a quarter of the line carries a quarter, also alone; live, it may have all."""
    add_parent(daemon, rate=1000)
    ident = start(daemon, 1, "--attr", "mdev/cap=25")
    with saturated(daemon, [ident]) as pairs:
        (capped,) = carry(pairs, 4)
        daemon.ok("qos", ident, "--cap", "100")
        (free,) = carry(pairs, 2)
    assert 0.7 * 1000 < capped < 1.1 * 1000, capped
    assert free > 0.5 * 2000, free


@pytest.mark.alone
def test_two_ways_share(daemon):
    """What a port receives is carried by the same line: sending and receiving, it still owns one share."""
    add_parent(daemon, rate=2000)
    idents = [start(daemon) for _ in range(2)]
    with saturated(daemon, idents) as pairs:
        (_, end), _ = pairs
        end.offer(bytes(8000))
        received = counters(daemon, idents[0])["rx_bytes"]
        before = [counters(daemon, ident) for ident in idents]
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for port, line in pairs:
                port.feed(bytes(FIFO))
                port.take(FIFO)
                line.take()
        after = [counters(daemon, ident) for ident in idents]
    moved = [sum(later[name] - earlier[name] for name in ("rx_bytes", "tx_bytes"))
             for earlier, later in zip(before, after)]
    assert after[0]["rx_bytes"] > received + 500
    assert 0.75 < moved[0] / moved[1] < 1.33, moved
