# SPDX-License-Identifier: BSD-3-Clause
"""Clients that kill their hosts: whatever a client's request does to a host, no other client of the parent loses more
than some time, and the parent is not given up because of it.

The driver brittle dies when its client wants it to (tests/drivers/brittle.c).
"""

import struct
from contextlib import contextmanager

import pytest

from umdevtest import wait_for
from umdevtest.drivers import with_drivers
from umdevtest.mortal import wait_back
from umdevtest.vfiouser import Client, Disconnected, GuestMemory, REGION_WRITE, ACCESS_BODY, NO_REPLY

TRIES = 3   # src/vfio/page.h: VFIO_TRIES_MAX
DOUBTS = 4  # deaths in a row of the 6 that give a parent up; src/broker/parent.h: PARENT_DOUBTS
SCRATCH, DEADLY, WATCHED, ANSWER = 4, 8, 12, 16
IOVA = 0x100000


@contextmanager
def scene(make_daemon, user):
    """A daemon, a client that means harm, and its neighbour on the same parent."""
    daemon = with_drivers(make_daemon, user, "brittle")
    daemon.start()
    daemon.ok("parent", "add", "p", "--driver", "brittle")
    idents = [daemon.ok("start", "-p", "p", "-t", "brittle-one").strip() for _ in range(2)]
    memory = GuestMemory()
    segment = memory.add(IOVA, 4096)
    with Client(daemon.socket_path(idents[0]), memory, 20) as hostile, \
            Client(daemon.socket_path(idents[1]), None, 20) as neighbour:
        hostile.like_qemu()
        neighbour.like_qemu()
        hostile.dma_map(segment, with_fd=False)
        hostile.write32(0, SCRATCH, 0x1111)
        neighbour.write32(0, SCRATCH, 0x2222)
        yield daemon, hostile, neighbour, idents[0]
        assert neighbour.read32(0, SCRATCH) == 0x2222
        assert daemon.parent("p")["state"] == "ready"
        assert not [event for event in daemon.events(idents[1]) if event["event"] == "client.disconnected"]
    memory.close()
    # The device is there for the next client.
    wait_for(lambda: not daemon.mdev(idents[0])["in_use"], "the device to be free")
    with Client(daemon.socket_path(idents[0]), None, 20) as following:
        following.like_qemu()
        assert following.read32(0, SCRATCH) == 0
        following.write32(0, SCRATCH, 5)
        assert following.read32(0, SCRATCH) == 5


def deaths(daemon) -> int:
    """How many hosts have died."""
    return [event["event"] for event in daemon.events()].count("host.died")


def lost(client) -> None:
    """The client is let go."""
    with pytest.raises(Disconnected):
        while True:
            client.recv(20)


@pytest.mark.parametrize("posted", [False, True], ids=["answered", "posted"])
@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_request(make_daemon, user, times, posted):
    """A request that hosts die of is served again so often, then its client is let go."""
    with scene(make_daemon, user) as (daemon, hostile, neighbour, ident):
        body = ACCESS_BODY.pack(DEADLY, 0, 4) + struct.pack("=I", times)
        number = hostile.send(REGION_WRITE, body, flags=NO_REPLY if posted else 0)
        if times < TRIES:
            if not posted:
                assert not hostile.reply(number, REGION_WRITE).failed
            assert hostile.read32(0, SCRATCH) == 0x1111
        else:
            lost(hostile)
            refusal = daemon.wait_event("client.refused", ident)["message"]
            assert "3 hosts died while they served a request of the client: REGION_WRITE" in refusal
        assert neighbour.read32(0, SCRATCH) == 0x2222
        assert deaths(daemon) == times


@pytest.mark.parametrize("times", [DOUBTS - 1, DOUBTS])
def test_by_itself(make_daemon, user, times):
    """A device that kills hosts without being asked is set back before the parent would be given up."""
    with scene(make_daemon, user) as (daemon, hostile, neighbour, ident):
        hostile.write32(0, WATCHED, times)
        wait_for(lambda: deaths(daemon) == times, "the hosts' deaths", 20)
        if times < DOUBTS:
            assert hostile.read32(0, SCRATCH) == 0x1111
        else:
            lost(hostile)
            event = daemon.wait_event("driver", ident)["message"]
            assert "hosts died one after another, the last in the midst of this device" in event
        assert neighbour.read32(0, SCRATCH) == 0x2222
        assert deaths(daemon) == times


@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_answer(make_daemon, user, times):
    """The same with the client's answers to messages of the host."""
    with scene(make_daemon, user) as (daemon, hostile, neighbour, ident):
        for number in range(times + 1):
            before = daemon.host_pid("p")
            hostile.write32(0, ANSWER, times if number == 0 else 0)
            if number < times:
                wait_for(lambda: hostile.pump(0.05) or deaths(daemon) == number + 1, "a host's death", 20)
                wait_back(daemon, "p", before)
        if times < TRIES:
            wait_for(lambda: hostile.pump(0.05) or len(hostile.memory.reads) == times + 1, "the last look", 20)
            assert hostile.read32(0, SCRATCH) == 0x1111
        else:
            with pytest.raises(Disconnected):
                while True:
                    hostile.pump(1)
            assert "over the client's answers" in daemon.wait_event("client.refused", ident)["message"]
        assert neighbour.read32(0, SCRATCH) == 0x2222
        assert deaths(daemon) == times
