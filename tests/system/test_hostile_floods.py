# SPDX-License-Identifier: BSD-3-Clause
"""Floods: clients that send one thing as fast as they can, each on a device of its own, for a while.

Bounded is what they cost in memory, descriptors and lines of the event log. Processor time is served in turns: the
neighbour on the same parent and the operator are served meanwhile, how fast is printed.
"""

import os
import socket
import struct
import time

import pytest

from umdevtest import wait_for
from umdevtest.child import Child
from umdevtest.load import Load
from umdevtest.process import busy_seconds, descriptors, resident_kib
from umdevtest.vfiouser import (ACCESS_BODY, CONFIG, DATA_EVENTFD, DMA_MAP, DMA_UNMAP, HEADER, IRQS_BODY, MAP_BODY,
                                MSIX, NO_REPLY, REGION_READ, REGION_WRITE, SET_IRQS, TRIGGER, UNMAP_BODY, Client,
                                Disconnected, close_fds, eventfd, null_fds)
from umdevtest.world import file_of

pytestmark = pytest.mark.alone

FLOODERS = 3
SECONDS = float(os.environ.get("UMDEV_FLOOD_S", "1.5"))
GROWTH_KIB = 48 << 10       # of a process, with state pages that are touched for the first time
DESCRIPTORS_EACH = 300      # interrupts, memory and what is on its way in two messages
EVENTS = 60                 # of one device in 10 s; src/broker/mdev.c: MDEV_EVENTS_MAX
RPC_LIMIT_S = 5.0


def connect(path: str) -> Client:
    """A client that has agreed on a version."""
    client = Client(path, None, 20)
    client.like_qemu()
    return client


def forever(client: Client, data: bytes, fds=()) -> None:
    """Sends it again and again, reads what comes now and then, and lives with being thrown out."""
    client.sock.settimeout(0.2)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            client.send_raw(data, fds)
            if client.readable():
                client.sock.recv(1 << 20)
        except (TimeoutError, OSError):
            return


def flood_connections(path: str) -> None:
    """One who is the client, and a crowd that is turned away."""
    client = connect(path)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        crowd = []
        for _ in range(50):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].setblocking(False)
            crowd[-1].connect_ex(path)
        for one in crowd:
            one.close()
    assert client.info()[0] & 2


def flood_visits(path: str) -> None:
    """A client that comes and goes, with and without a word."""
    end = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end:
        number += 1
        with Client(path, None, 20) as client:
            if number % 2:
                client.like_qemu()


def flood_posted(path: str) -> None:
    """Writes that want no reply."""
    client = connect(path)
    forever(client, client.message(REGION_WRITE, ACCESS_BODY.pack(0x1000, 0, 4) + bytes(4), NO_REPLY) * 500)


def flood_unread(path: str) -> None:
    """Requests whose replies are never read."""
    client = connect(path)
    data = client.message(REGION_READ, ACCESS_BODY.pack(0, CONFIG, 256)) * 100
    client.sock.settimeout(SECONDS)
    try:
        while True:
            client.sock.sendall(data)
    except TimeoutError:
        pass


def flood_bytes(path: str) -> None:
    """One byte at a time."""
    client = connect(path)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for byte in client.message(REGION_WRITE, ACCESS_BODY.pack(0x1000, 0, 4) + bytes(4), NO_REPLY):
            client.sock.send(bytes([byte]))


def flood_maps(path: str) -> None:
    """Memory that comes and goes, a file at a time: the broker is told of each."""
    client = connect(path)
    fd = file_of(1 << 20)
    forever(client, client.message(DMA_MAP, MAP_BODY.pack(MAP_BODY.size, 3, 0, 0, 1 << 20), NO_REPLY) +
            client.message(DMA_UNMAP, UNMAP_BODY.pack(UNMAP_BODY.size, 0, 0, 1 << 20), NO_REPLY), [fd])
    os.close(fd)


def flood_interrupts(path: str) -> None:
    """Eventfds in place of others."""
    client = connect(path)
    fds = [eventfd() for _ in range(16)]
    forever(client, client.message(SET_IRQS, IRQS_BODY.pack(IRQS_BODY.size, DATA_EVENTFD | TRIGGER, MSIX, 0, 16),
                                   NO_REPLY), fds)
    close_fds(fds)


def flood_descriptors(path: str) -> None:
    """As many descriptors with every message as one can carry, for nothing. Where the host is of the same user, the kernel
    lets it pass none to the broker while so many are on their way: whoever is turned away then comes back."""
    client, end = None, time.monotonic() + 3 * SECONDS
    while not client:
        try:
            client = connect(path)
        except (Disconnected, ConnectionError):
            assert time.monotonic() < end, "turned away for ever"
            time.sleep(0.05)
    fds = null_fds(253)
    forever(client, client.message(REGION_WRITE, ACCESS_BODY.pack(0x1000, 0, 4) + bytes(4), NO_REPLY), fds)
    close_fds(fds)


def flood_garbage(path: str) -> None:
    """Whoever is thrown out is back at once."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            with Client(path, None, 20) as client:
                client.send_raw(HEADER.pack(1, 77, 4096, 0xf, 0) + struct.pack("=Q", 0))
                client.sock.recv(16)
        except OSError:
            pass


FLOODS = [flood_connections, flood_visits, flood_posted, flood_unread, flood_bytes, flood_maps, flood_interrupts,
          flood_descriptors, flood_garbage]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__[6:])
def test_flood(daemon, flood, record_property):
    """What a flood costs the others, and the host and the broker."""
    daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", "ram=64M", "--option", "types=8m")
    idents = [daemon.ok("start", "-p", "p", "-t", "nvme-8m").strip() for _ in range(FLOODERS + 1)]
    quiet = Load(daemon, idents[0], 0.7, depth=2, rw="randrw", verify=True, rate=1000).result()
    load = Load(daemon, idents[0], 3600, depth=2, rw="randrw", verify=True, rate=1000, timeout=20)
    wait_for(lambda: daemon.mdev(idents[0])["in_use"] or not load.running, "the neighbour")
    host, broker = daemon.host_pid("p"), daemon.pid
    before = {pid: (resident_kib(pid), len(descriptors(pid)), busy_seconds(pid)) for pid in (host, broker)}
    since = daemon.next_event()
    began = time.monotonic()
    children = [Child(daemon.uid, flood, str(daemon.socket_path(ident))) for ident in idents[1:]]
    slowest, most = 0.0, {host: 0, broker: 0}
    while time.monotonic() < began + SECONDS:
        asked = time.monotonic()
        daemon.rpc("mdev.list")
        slowest = max(slowest, time.monotonic() - asked)
        most = {pid: max(count, len(descriptors(pid))) for pid, count in most.items()}
        time.sleep(0.05)
    for child in children:
        child.result()
    seconds = time.monotonic() - began
    report = load.stop()
    assert report["errors"] == report["mismatches"] == 0 and report["verified_blocks"] > 0
    p99 = [part["lat_ns"]["p99"] / 1e3 for part in (quiet, report)]
    busy = [(busy_seconds(pid) - before[pid][2]) / seconds for pid in (host, broker)]
    text = f"{flood.__name__[6:]}: neighbour p99 {p99[0]:.0f} us alone, {p99[1]:.0f} us beside it, longest " \
           f"{report['lat_ns']['max'] / 1e6:.1f} ms; mdev.list at most {slowest * 1e3:.0f} ms; processor of host " \
           f"{busy[0]:.0%}, broker {busy[1]:.0%}"
    record_property("figures", text)
    print(text)
    assert (daemon.host_pid("p"), daemon.pid) == (host, broker)
    assert slowest < RPC_LIMIT_S
    for pid, (kib, count, _) in before.items():
        assert resident_kib(pid) - kib < GROWTH_KIB
        assert most[pid] - count < FLOODERS * DESCRIPTORS_EACH
    for ident in idents[1:]:
        assert len(daemon.events(ident, since)) <= (EVENTS + 1) * (2 + seconds // 10)
        wait_for(lambda i=ident: not daemon.mdev(i)["in_use"], "the device to be free", 20)
    wait_for(lambda: len(descriptors(host)) <= before[host][1], "return of all descriptors")
    Load(daemon, idents[1], 0.2, rw="randrw", verify=True).result()


def test_event_log(daemon):
    """So many events of one device are recorded, then one that says so; what the device is, is known all the same."""
    daemon.ok("parent", "add", "p", "--driver", "null")
    ident, other = [daemon.ok("start", "-p", "p", "-t", "null-basic").strip() for _ in range(2)]
    since = daemon.next_event()
    for visits, expected in ((EVENTS // 2, EVENTS), (5, EVENTS + 1)):
        for _ in range(visits):
            with Client(daemon.socket_path(ident), None, 20) as client:
                client.like_qemu()
        wait_for(lambda: not daemon.mdev(ident)["in_use"], "the client's end")
        wait_for(lambda n=expected: len(daemon.events(ident, since)) == n, "the events")
    assert f"caused {EVENTS} events" in daemon.events(ident, since)[-1]["message"]
    with Client(daemon.socket_path(ident), None, 20) as client, Client(daemon.socket_path(other), None, 20) as second:
        client.like_qemu()
        second.like_qemu()
        wait_for(lambda: daemon.mdev(ident)["in_use"], "the client")
        daemon.wait_event("client.connected", other, since)
