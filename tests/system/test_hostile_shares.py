# SPDX-License-Identifier: BSD-3-Clause
"""Clients that want everything of what all clients of a host share: descriptors, address space, mappings.

Some is set aside for everybody; of the rest nobody gets more than is then left for all others.
"""

import errno
import os
from contextlib import ExitStack

import pytest

from umdevtest import wait_for
from umdevtest.vfiouser import (DATA_EVENTFD, MSIX, TRIGGER, Client, GuestMemory, close_fds, eventfd)
from umdevtest.world import file_of

TIB = 1 << 40
CLIENT_BYTES = 16 * TIB  # src/vfio/dma.h: VFIO_MEMORY_BYTES_MAX
ALL_BYTES = 96 * TIB     # VFIO_ALL_BYTES_MAX
CLIENT_FILES = 1024      # src/vfio/session.h: VFIO_SLOT_MEMORY_MAX
ALL_FILES = 16384        # src/vfio/sigbus.h: SIGBUS_RANGES_MAX
PART_BYTES, PART_FILES = ALL_BYTES // 2 // 4096, ALL_FILES // 2 // 4096
FEW_FILES = 360          # descriptors of a process
RESERVE = 256            # src/vfio/session-internal.h: VFIO_FD_RESERVE


@pytest.fixture
def stack():
    """What is closed at the end."""
    with ExitStack() as stack:
        yield stack


def parent(daemon, count: int) -> list:
    """A parent with so many drives; their UUIDs."""
    daemon.ok("parent", "add", "p", "--driver", "nvme", "--option", f"ram={count}M", "--option", "types=1m")
    return [daemon.ok("start", "-p", "p", "-t", "nvme-1m").strip() for _ in range(count)]


def connected(daemon, stack, ident: str) -> Client:
    """A client with some memory, like QEMU's."""
    memory = GuestMemory()
    segment = memory.add(0, 1 << 20)
    stack.callback(memory.close)
    client = stack.enter_context(Client(daemon.socket_path(ident), memory, 20))
    client.like_qemu()
    client.dma_map(segment)
    return client


def take(client, addr: int, size: int) -> int:
    """Lends a file of its own; the errno."""
    fd = file_of(size)
    error = client.map_error(addr, size, fds=[fd])
    os.close(fd)
    return error


def test_address_space(daemon, stack):
    """Clients want 16 TiB each: two get them, the third half of what is left, and everybody what is set aside."""
    idents = parent(daemon, 6)
    clients = [connected(daemon, stack, ident) for ident in idents]
    ram = 1 << 20
    for client in clients[:2]:
        assert take(client, TIB, CLIENT_BYTES - ram) == 0
        assert take(client, 64 * TIB, 4096) == errno.ENOSPC, "one past the limit of each client"
    left = ALL_BYTES // 2 - 2 * (CLIENT_BYTES - PART_BYTES)
    most = left // 2 + PART_BYTES - ram
    assert take(clients[2], TIB, most + 4096) == errno.ENOSPC
    assert take(clients[2], TIB, most) == 0
    number = 0
    while most > 1 << 20:
        most //= 2
        number += not take(clients[3], TIB + (number << 40), most)
    assert number >= 1
    # All of it is still there for those who have it, after the death of their host, too.
    before = daemon.host_pid("p")
    os.kill(before, 9)
    wait_for(lambda: daemon.host_pid("p") != before, "another host", 20)
    for client in clients:
        assert client.info()[0] & 2
    assert take(clients[4], TIB, PART_BYTES - ram) == 0
    for client in clients[:3]:
        assert client.unmap_error(TIB, 60 * TIB) == 0
    assert take(clients[5], TIB, CLIENT_BYTES - ram) == 0


def test_mappings(daemon, stack):
    """As many files as they may, from each of so many clients that they would be too many: the last has its part."""
    idents = parent(daemon, 24)
    clients = [connected(daemon, stack, ident) for ident in idents]
    taken = []
    for client in clients[:-1]:
        number = 1
        while number <= CLIENT_FILES and not take(client, number << 20, 4096):
            number += 1
        taken.append(number)
    assert taken[:7] == [CLIENT_FILES] * 7, taken
    assert CLIENT_FILES > taken[7] > taken[8] and min(taken) == taken[-1] == PART_FILES, taken
    assert take(clients[-1], TIB, 4096) == 0
    assert take(clients[-1], 2 * TIB, 4096) == errno.ENOSPC, "one past the part that is set aside"
    # One who goes leaves room.
    clients[0].close()
    wait_for(lambda: not daemon.mdev(idents[0])["in_use"], "the first one's end")
    assert take(clients[-1], 2 * TIB, 4096) == 0
    for client in clients[1:]:
        assert client.info()[0] & 2


def test_descriptors(make_daemon, user, stack):
    """A client that assigns more interrupts than there are descriptors gets half of them."""
    daemon = make_daemon(user, prefix=["prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}", "--"])
    daemon.start()
    idents = parent(daemon, 3)
    greedy, modest = [connected(daemon, stack, ident) for ident in idents[:2]]
    vectors = greedy.irq_info(MSIX)[1]
    got = 0
    while True:
        fds = [eventfd()]
        error = greedy.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, got, 1, fds=fds)
        close_fds(fds)
        if error or got + 1 == vectors:
            break
        got += 1
    assert error == errno.EMFILE, f"{vectors} vectors are no more than there are descriptors"
    assert 20 < got < (FEW_FILES - RESERVE) // 2
    open_now = len(os.listdir(f"/proc/{daemon.host_pid('p')}/fd"))
    assert got + 1 > FEW_FILES - RESERVE - open_now - 3, "there was room for more"
    # The next ones are served as if nothing was.
    late = connected(daemon, stack, idents[2])
    for client in (modest, late):
        fds = [eventfd() for _ in range(8)]
        assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 8, fds=fds) == 0
        close_fds(fds)
        assert take(client, TIB, 1 << 20) == 0
    assert daemon.rpc("mdev.list")
    # So is the greedy one, with what it has.
    fds = [eventfd()]
    greedy.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds)
    close_fds(fds)
    assert greedy.info()[0] & 2
