# SPDX-License-Identifier: BSD-3-Clause
"""A client that moves its device: stops it, reads its state, writes that into another one, and goes on there."""

import errno
import struct
import time

import pytest

from umdevtest.migrate import (ERROR, GET, LOG_REPORT, MIGRATION, PAGE, RESUMING, RUNNING, STOP, STOP_COPY, dirty, give,
                               log_start, log_stop, set_state, state, state_error, take, write_error,
                               write_stream)
from umdevtest.nvme import ASYNC_EVENT, CC, CSTS, IDENTIFY, READ, WRITE, Nvme
from umdevtest.vfiouser import CONFIG, DEVICE_FEATURE, MSIX, Client, GuestMemory, signals

def onward(target, nvme: Nvme, memory: GuestMemory, data: bytes) -> Client:
    """The same guest on another device."""
    client = target.qemu(memory)
    for segment in memory.segments:
        client.dma_map(segment)
    give(client, data, STOP)
    nvme.client = client
    return client


def test_offered(target):
    """What the server says that it can do, in an answer that QEMU has room for."""
    client = target.connect()
    offered = client.like_qemu()
    assert offered["migration"]["pgsize"] == 4096 and offered["migration"]["max_bitmap_size"] >= 65536
    body = client.ok(DEVICE_FEATURE, struct.pack("=II", 16, GET | MIGRATION)).body
    assert struct.unpack("=IIQ", body) == (16, GET | MIGRATION, 1)
    assert state(client) == RUNNING
    client.close()


def test_all_ways(client):
    """Every state from every other."""
    for first in (STOP, RUNNING, STOP_COPY, RESUMING):
        for second in (STOP, RUNNING, STOP_COPY, RESUMING):
            set_state(client, first)
            if first == RESUMING and second != RESUMING:
                # Nothing was written: that is no state.
                assert state_error(client, second) != 0 and state(client) == ERROR
                client.reset()
                assert state(client) == RUNNING
            else:
                set_state(client, second)
                if second == RESUMING:
                    client.reset()


@pytest.mark.parametrize("doorbells", ["trapped", "shared"])
def test_moved(make_target, doorbells):
    """Queues, interrupts, configuration, a full completion queue and a waiting event go along."""
    words = [("nvme/doorbells", doorbells)]
    first, second = make_target(attrs=words), make_target(attrs=words)
    memory = first.memory()
    client = first.qemu(memory)
    nvme = Nvme(client, memory)
    nvme.enable()
    nvme.io_queue(1)
    nvme.interrupts(MSIX, 2)
    queue = nvme.io_queue(2, 4)
    event = nvme.submit(0, nvme.sqe(ASYNC_EVENT))
    page = nvme.pages()
    nvme.write(3, b"here" * 128)
    late = [nvme.submit(2, nvme.sqe(READ, nsid=1, prp1=page, cdw=[n, 0, 0])) for n in range(3)]
    registers = [nvme.reg(at) for at in range(0, 0x38, 4)]
    config = client.read(CONFIG, 0, 0x100)
    data = take(client)
    assert data[:8] == b"umdevsav"
    # At rest a device answers what its configuration says, and nothing else changes.
    assert client.read(CONFIG, 0, 0x100) == config
    assert client.read_error(0, CSTS, 4) == errno.EBUSY
    before = memory.segments[0].view[:]
    time.sleep(0.1)
    assert memory.segments[0].view[:] == before

    client = onward(second, nvme, memory, data)
    events = nvme.interrupts(MSIX, 2)
    set_state(client, RUNNING)
    assert [nvme.reg(at) for at in range(0, 0x38, 4)] == registers
    for cid in late:
        assert nvme.wait(2, cid).status == 0
    assert queue.head == 3
    nvme.write(5, b"there" * 102 + b"..")
    assert nvme.read(5, 512) == b"there" * 102 + b".."
    assert (0, event) not in nvme.done
    cid = nvme.submit(0, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))
    assert signals(events[0], 5)
    assert nvme.wait(0, cid).status == 0


def test_there_and_back(make_target):
    """A device that was stopped and goes on has lost nothing; its state can be taken again and is the same."""
    target = make_target()
    memory = target.memory()
    client = target.qemu(memory)
    nvme = Nvme(client, memory)
    nvme.enable()
    nvme.io_queue(1)
    for turn in range(20):
        nvme.write(turn, bytes([turn]) * 512)
        data = take(client)
        assert take(client) == data
        set_state(client, RUNNING)
        assert nvme.read(turn, 512) == bytes([turn]) * 512
    # Its own state, brought in again: as of then.
    set_state(client, STOP)
    give(client, data)
    nvme.write(1, b"x" * 512)
    assert nvme.reg(CSTS) & 3 == 1 and nvme.reg(CC) & 1


def test_stopped_with_commands_in_flight(make_target):
    """Hundreds of commands, a stop in their middle, again and again: each completes once and well."""
    target = make_target()
    memory = target.memory()
    client = target.qemu(memory)
    nvme = Nvme(client, memory)
    nvme.enable()
    nvme.io_queue(1, 256)
    page = nvme.pages(64)
    for _ in range(30):
        cids = [nvme.put(1, nvme.sqe(WRITE if n % 2 else READ, nsid=1, prp1=page + 4096 * (n % 64),
                                     cdw=[n * 8, 0, 7])) for n in range(200)]
        nvme.ring(1)
        data = take(client)
        assert len(data) > 500
        set_state(client, RUNNING)
        for cid in cids:
            assert nvme.wait(1, cid).status == 0


def test_bad_streams(make_target):
    """Cut, changed, or nothing at all: an error, then a reset helps."""
    target = make_target()
    memory = target.memory()
    client = target.qemu(memory)
    nvme = Nvme(client, memory)
    nvme.enable()
    good = take(client)
    set_state(client, RUNNING)
    for bad, at_once in ((b"", False), (good[:-1], False), (good[:100], False), (good[:-9] + b"x" + good[-8:], False),
                         (good + bytes(8), True), (good[:60] + b"x" + good[61:], True), (b"\0" * len(good), True)):
        set_state(client, RESUMING)
        assert (len(bad) > 0 and write_error(client, bad)) == (errno.EINVAL if at_once else 0)
        assert state(client) == RESUMING
        assert state_error(client, RUNNING) == errno.EINVAL
        assert state(client) == ERROR
        assert client.read_error(0, CSTS, 4) == errno.EBUSY
        assert state_error(client, STOP) == errno.EINVAL
        client.reset()
        assert state(client) == RUNNING and nvme.reg(CSTS) == 0
        give(client, good)
        assert nvme.reg(CSTS) & 3 == 1


def test_left_in_every_state(make_target):
    """A client that leaves a stopped device leaves a device like any other."""
    target = make_target()
    for last in (STOP, STOP_COPY, RESUMING, ERROR):
        client = target.qemu(target.memory())
        nvme = Nvme(client, client.memory)
        nvme.enable()
        if last == ERROR:
            set_state(client, RESUMING)
            assert state_error(client, STOP)
        else:
            set_state(client, last)
        target.leave()
        client = target.qemu(target.memory())
        assert state(client) == RUNNING
        nvme = Nvme(client, client.memory)
        assert nvme.reg(CSTS) == 0
        nvme.enable()
        target.leave()


def test_reset_while_stopped(make_target):
    target = make_target()
    client = target.qemu(target.memory())
    nvme = Nvme(client, client.memory)
    nvme.enable()
    set_state(client, STOP_COPY)
    client.reset()
    assert state(client) == RUNNING and nvme.reg(CSTS) == 0
    nvme.enable()


def test_other_attributes(make_target):
    """A state fits a device whose guest sees the same. One that does not is refused at the write that shows it, and
    nothing of that is taken."""
    data = take(make_target().qemu())
    target = make_target(attrs=[("nvme/queues", "3")])
    client = target.qemu()
    text_end = 72 + struct.unpack_from("<Q", data, 64)[0]
    set_state(client, RESUMING)
    for at in range(text_end - 1):
        assert write_error(client, data[at:at + 1]) == 0
    assert write_error(client, data[text_end - 1:text_end]) == errno.EINVAL
    told = target.world.daemon.wait_event("driver", target.uuid)["message"]
    assert "it is of 'nvme/queues 64', the device here is 'nvme/queues 3'" in told
    assert write_error(client, data[text_end - 1:]) == errno.EINVAL
    assert state(client) == RESUMING
    assert state_error(client, STOP) == errno.EINVAL
    client.reset()
    # In its place another one, from its beginning.
    own = take(client)
    set_state(client, RESUMING)
    assert write_error(client, data[:text_end]) == errno.EINVAL
    write_stream(client, own)
    set_state(client, RUNNING)


def test_fifo_of_a_stopped_device(make_target):
    """Two clients' devices on one parent: the other one works on."""
    target, other = make_target(), make_target()
    client = target.qemu(target.memory())
    nvme = other.drive()
    set_state(client, STOP)
    nvme.write(1, b"o" * 512)
    assert nvme.read(1, 512) == b"o" * 512
    assert state(client) == STOP
    set_state(client, RUNNING)


# ---- memory, too


class Watched(GuestMemory):
    """Guest memory that knows what its guest has written."""

    def __init__(self):
        super().__init__()
        self.written = set()

    def write(self, addr: int, data: bytes) -> None:
        super().write(addr, data)
        self.written |= {page * PAGE for page in range(addr // PAGE, (addr + max(len(data), 1) - 1) // PAGE + 1)}


def copy(source, to, pages) -> None:
    """Some pages of one memory to another."""
    for page in pages:
        at = page - source.addr
        to.view[at:at + PAGE] = source.view[at:at + PAGE]


def test_live(make_target):
    """A guest that works is copied while it does: its memory by the dirty pages, its device by its state. What arrives
    is what was there, and the commands under way end over there."""
    first, second = make_target(), make_target()
    memory = Watched()
    client = first.qemu(memory)
    nvme = Nvme(client, memory)
    nvme.enable()
    nvme.io_queue(1, 256)
    source = nvme.segment
    buffers = nvme.pages(512)
    there = GuestMemory()
    target = there.add(source.addr, source.size)
    assert log_start(client, [(source.addr, source.size)]) == 0
    copy(source, target, range(source.addr, source.addr + source.size, PAGE))
    memory.written.clear()
    found = set()
    cids = []
    for turn in range(12):
        cids = [nvme.put(1, nvme.sqe(READ, nsid=1, prp1=buffers + PAGE * ((turn * 37 + n * 3) % 512),
                                     cdw=[8 * (n % 1000), 0, 7])) for n in range(200)]
        nvme.ring(1)
        pages = dirty(client, source.addr, source.size)
        found |= pages
        copy(source, target, pages)
        if turn < 11:
            for cid in cids:
                assert nvme.wait(1, cid).status == 0
    data = take(client)
    pages = dirty(client, source.addr, source.size)
    assert dirty(client, source.addr, source.size) == set()
    found |= pages
    copy(source, target, pages | memory.written)
    assert target.view[:] == source.view[:]
    # Of what was never touched nothing was reported.
    assert 300 < len(found) < 700
    assert log_stop(client) == 0

    nvme.memory = there
    nvme.segment = target
    onward(second, nvme, there, data)
    set_state(nvme.client, RUNNING)
    for cid in cids:
        assert nvme.wait(1, cid).status == 0
    nvme.write(5, b"w" * 512)
    assert nvme.read(5, 512) == b"w" * 512
    there.close()
    memory.close()


def test_logging(drive):
    """On, off, on again, and nothing without having asked."""
    client, segment = drive.client, drive.segment
    page = drive.pages()
    assert client.call(DEVICE_FEATURE, struct.pack("=IIQQQ", 40, GET | LOG_REPORT, segment.addr, 4096, 4096)).failed
    assert log_start(client) == 0
    assert log_start(client) == errno.EINVAL
    assert dirty(client, segment.addr, segment.size) == set()
    drive.ok(1, READ, nsid=1, prp1=page, cdw=[0, 0, 7])
    queue = drive.queues[1]
    assert dirty(client, segment.addr, segment.size) == {page, queue.cq}
    drive.ok(1, WRITE, nsid=1, prp1=page, cdw=[0, 0, 7])
    assert dirty(client, segment.addr, segment.size) == {queue.cq}
    assert log_stop(client) == 0
    drive.ok(1, READ, nsid=1, prp1=page, cdw=[0, 0, 7])
    assert log_start(client) == 0
    assert dirty(client, segment.addr, segment.size) == set()
    drive.client.reset()
