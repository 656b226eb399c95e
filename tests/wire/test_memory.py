# SPDX-License-Identifier: BSD-3-Clause
"""The map of guest memory: what is mapped, what is refused, range unmaps, files that shrink, share=off."""

import errno
import os
import struct
import time

import pytest

from umdevtest.nvme import ASQ, CC, CSTS, DATA_ERROR, DOORBELL_BUFFER, IDENTIFY, READ, WRITE, Nvme
from umdevtest.vfiouser import (DMA_MAP, DMA_UNMAP, MAP_BODY, MAP_FILE_IO, MAP_MMAP, NO_REPLY, UNMAP_BODY,
                                Disconnected, GuestMemory, Segment)
from umdevtest.world import file_of

TOP = 1 << 64
MOST_MAPS = 65535


@pytest.fixture
def file():
    """A memfd of 1 MiB."""
    fd = file_of(1 << 20)
    yield fd
    os.close(fd)


# ---- what is refused


@pytest.mark.parametrize("addr, size", [
    (0x1001, 0x1000), (0x1000, 0x1001), (0x1000, 0xfff), (0xfff, 1), (0x800, 0x1000), (TOP - 0x800, 0x800),
])
def test_not_whole_pages(client, file, addr, size):
    assert client.map_error(addr, size, fds=[file]) == errno.EINVAL
    assert client.map_error(addr, size) == errno.EINVAL


@pytest.mark.parametrize("offset", [1, 0x800, TOP - 0x1000, TOP - 1])
def test_bad_offset(client, file, offset):
    assert client.map_error(0x10000, 0x10000, offset, fds=[file]) == errno.EINVAL


@pytest.mark.parametrize("flags", [0, MAP_MMAP, MAP_FILE_IO, 3 | MAP_MMAP | MAP_FILE_IO, 3 | 16, 3 | 1 << 31])
def test_bad_flags(client, file, flags):
    assert client.map_error(0x10000, 0x10000, flags=flags, fds=[file]) == errno.EINVAL


@pytest.mark.parametrize("flags", [3 | MAP_MMAP, 1 | MAP_MMAP, 3 | MAP_FILE_IO])
def test_way_of_access_without_descriptor(client, flags):
    assert client.map_error(0x10000, 0x10000, flags=flags) == errno.EINVAL


def test_access_by_file_io_is_not_offered(client, file):
    assert client.map_error(0x10000, 0x10000, flags=3 | MAP_FILE_IO, fds=[file]) == errno.ENOTSUP


def test_overlap(client, file):
    """Any overlap is refused; an identical map once more is fine."""
    assert client.map_error(0x10000, 0x10000, fds=[file]) == 0
    for addr, size in ((0x10000, 0x8000), (0x18000, 0x8000), (0x1f000, 0x2000), (0xf000, 0x2000), (0x8000, 0x20000),
                       (0x14000, 0x1000), (0, 0x100000)):
        assert client.map_error(addr, size, fds=[file]) == errno.EEXIST
        assert client.map_error(addr, size) == errno.EEXIST
    assert client.map_error(0, 1 << 63) == errno.EEXIST
    assert client.map_error(0x10000, 0x10000, fds=[file]) == 0
    assert client.map_error(0x10000, 0x10000, 0x1000, fds=[file]) == errno.EEXIST
    assert client.map_error(0x10000, 0x10000, flags=1, fds=[file]) == errno.EEXIST
    assert client.map_error(0x10000, 0x10000) == errno.EEXIST
    other = file_of(1 << 20)
    assert client.map_error(0x10000, 0x10000, fds=[other]) == errno.EEXIST
    os.close(other)
    assert client.map_error(0xf000, 0x1000, fds=[file]) == 0
    assert client.map_error(0x20000, 0x1000, fds=[file]) == 0


def test_the_ends_of_the_address_space(client, file):
    assert client.map_error(0, 0x1000, fds=[file]) == 0
    assert client.map_error(TOP - 0x1000, 0x1000, fds=[file]) == 0
    assert client.map_error(TOP - 0x1000, 0x2000) == errno.EINVAL
    assert client.unmap_error(TOP - 0x1000, 0x1000) == 0
    assert client.unmap_error(0, 0x1000) == 0


def test_nearly_everything(client):
    """2^64 less a page, without descriptor; then nothing else fits."""
    assert client.map_error(0, TOP - 0x1000) == 0
    assert client.map_error(TOP - 0x1000, 0x1000) == 0
    assert client.map_error(0x5000, 0x1000) == errno.EEXIST
    assert client.unmap_error(0, 0, flags=2) == 0
    assert client.map_error(0x5000, 0x1000) == 0


def test_maps_over_its_own_bars(client):
    """QEMU maps the mapped parts of BARs, without a descriptor."""
    client.write32(7, 0x10, 0xfebf0000)
    assert client.map_error(0xfebf0000, 0x4000) == 0


# ---- unmap


def test_unmap_of_ranges(client, file):
    """As a vIOMMU does it: ranges around maps, around nothing, up to the very end."""
    for n in range(16):
        assert client.map_error(0x100000 * n, 0x1000, 0x1000 * n, fds=[file]) == 0
    assert client.unmap_error(0x100000, 0x300000) == 0
    assert [client.map_error(0x100000 * n, 0x1000, fds=[file]) for n in (1, 2, 3)] == [0, 0, 0]
    assert client.map_error(0x400000, 0x1000, fds=[file]) == errno.EEXIST
    assert client.unmap_error(0xfef00000, 0xffffffff01100000) == 0
    assert client.unmap_error(0x1000000, TOP - 0x1000000) == 0
    for power in range(12, 64):
        assert client.unmap_error(1 << power, 1 << power) == 0
    assert client.unmap_error(0, 0x1000) == 0
    for n in range(16):
        assert client.map_error(0x100000 * n, 0x1000, fds=[file]) == 0


def test_unmap_of_nothing(client):
    assert client.unmap_error(0x1000, 0x1000) == 0
    assert client.unmap_error(0, 0, flags=2) == 0


@pytest.mark.parametrize("addr, size", [
    (0x10000, 0x1000), (0x1f000, 0x1000), (0x14000, 0x1000), (0xf000, 0x2000), (0x1f000, 0x2000),
    (0x11000, TOP - 0x11000),
])
def test_unmap_that_cuts_a_map(client, file, addr, size):
    assert client.map_error(0x10000, 0x10000, fds=[file]) == 0
    assert client.unmap_error(addr, size) == errno.EINVAL
    assert client.map_error(0x10000, 0x10000, flags=1, fds=[file]) == errno.EEXIST, "the map is gone"


@pytest.mark.parametrize("addr, size, flags, error", [
    (0, 0, 0, errno.EINVAL), (0x1000, 0, 0, errno.EINVAL), (TOP - 0x1000, 0x2000, 0, errno.EINVAL),
    (TOP - 1, TOP - 1, 0, errno.EINVAL), (0x1000, 0x1000, 2, errno.EINVAL), (0, 0x1000, 2, errno.EINVAL),
    (0x1000, 0x1000, 1, errno.ENOTSUP), (0x1000, 0x1000, 4, errno.EINVAL), (0x1000, 0x1000, 1 << 31, errno.EINVAL),
])
def test_bad_unmap(client, addr, size, flags, error):
    assert client.unmap_error(addr, size, flags) == error


def test_unmap_all(client, file):
    for n in range(64):
        assert client.map_error(0x100000 * n, 0x1000, fds=[file] if n % 2 else []) == 0
    assert client.unmap_error(0, 0, flags=2) == 0
    assert client.map_error(0, 1 << 40) == 0


def test_most_maps(target):
    """65535 maps at once, and one more; the last can be used, and all go."""
    client = target.qemu(target.memory())
    segment = client.memory.add(0, 1 << 20)
    done = 0
    while done < MOST_MAPS:
        batch = min(100, MOST_MAPS - done)  # replies that nobody reads yet must fit into the socket
        for n in range(done, done + batch):
            fds = [segment.fd] if n % 1024 == 0 else []
            client.send(DMA_MAP, MAP_BODY.pack(32, 3, 0, n * 0x2000, 0x1000), fds, ident=1)
        for _ in range(batch):
            assert not client.reply(1, DMA_MAP).failed
        done += batch
    assert client.map_error(MOST_MAPS * 0x2000, 0x1000) == errno.ENOSPC
    assert client.map_error(1024 * 0x2000, 0x1000, fds=[segment.fd]) == 0, "an identical one is none more"
    assert client.unmap_error(1024 * 0x2000, 0x1000) == 0
    assert client.map_error(MOST_MAPS * 0x2000, 0x1000) == 0
    assert client.unmap_error(0, 0, flags=2) == 0


def test_many_files(target):
    """Each map with a file of its own, up to a limit; the descriptors are all given back."""
    client = target.qemu()
    error, count = 0, 0
    while not error and count < 5000:
        fd = file_of(0x1000)
        error = client.map_error(0x1000 * count, 0x1000, fds=[fd])
        os.close(fd)
        count += not error
    assert error == errno.ENOSPC and count >= 64
    assert client.unmap_error(0, 0x1000) == 0
    fd = file_of(0x1000)
    assert client.map_error(0, 0x1000, fds=[fd]) == 0, "a file that is gone makes no room"
    os.close(fd)


def test_storm_of_maps(target):
    """What firmware does, many times over; nothing piles up."""
    client = target.qemu(target.memory())
    segment = client.memory.add(0, 1 << 20)
    for _ in range(200):
        for n in range(1, 9):
            client.send(DMA_MAP, MAP_BODY.pack(32, 3, 0x1000 * n, 0x10000 * n, 0x1000), [segment.fd], flags=NO_REPLY)
        client.send(DMA_UNMAP, UNMAP_BODY.pack(24, 0, 0, 0x100000), flags=NO_REPLY)
    assert client.map_error(0, 0x100000, fds=[segment.fd]) == 0


# ---- memory that is used


def test_unmapped_memory_is_not_used(drive):
    """After the reply to an unmap nothing of it is read or written any more."""
    extra = drive.memory.add(0x4000000, 0x100000)
    drive.client.dma_map(extra)
    assert drive.transfer(READ, 0, 8, extra.addr, 4096).status == 0
    assert drive.client.unmap_error(extra.addr, extra.size) == 0
    extra.view[0:4096] = b"\xaa" * 4096
    assert drive.transfer(READ, 0, 8, extra.addr, 4096).status != 0
    assert extra.view[0:4096] == b"\xaa" * 4096


def test_unmap_under_load(drive):
    """Transfers into memory that goes away: each ends before the unmap is answered, or fails."""
    for turn in range(20):
        extra = drive.memory.add(0x4000000, 0x100000)
        drive.client.dma_map(extra)
        cids = []
        for n in range(24):
            prp1, prp2, _ = drive.prps(extra.addr + n * 0x8000 % 0x80000, 0x8000)
            cids.append(drive.put(1, drive.sqe(READ, 1, prp1, prp2, [n * 64, 0, 63])))
        drive.ring(1)
        assert drive.client.unmap_error(extra.addr, extra.size) == 0
        extra.view[:] = bytes([turn + 1]) * extra.size
        for cid in cids:
            assert drive.wait(1, cid).status in (0, 4, 0x282, 6, 2, 0x13)
        assert extra.view[:] == bytes([turn + 1]) * extra.size, "memory was written after its unmap was answered"
        drive.memory.segments.remove(extra)
        extra.close()


def test_read_only_memory_is_not_written(drive):
    """Mapped for reading alone: the device takes data from it, and puts none there."""
    extra = Segment(0x4000000, 0x10000)
    drive.memory.segments.append(extra)
    drive.client.dma_map(extra, flags=1)
    extra.view[0:512] = b"r" * 512
    assert drive.transfer(WRITE, 5, 1, extra.addr, 512).status == 0
    assert drive.transfer(READ, 5, 1, extra.addr + 4096, 512).status != 0
    assert extra.view[4096:4608] == bytes(512)
    assert drive.read(5, 512) == b"r" * 512


def test_write_only_memory_is_not_read(drive):
    extra = Segment(0x4000000, 0x10000)
    drive.memory.segments.append(extra)
    drive.client.dma_map(extra, flags=2)
    extra.view[0:512] = b"w" * 512
    assert drive.transfer(WRITE, 5, 1, extra.addr, 512).status != 0
    assert drive.transfer(READ, 5, 1, extra.addr + 4096, 512).status == 0


def test_transfer_across_maps(drive):
    """One transfer whose pages lie in maps of several files, at odd offsets."""
    pieces = []
    for n in range(8):
        piece = Segment(0x4000000 + n * 0x1000, 0x1000, fd=file_of(0x20000), offset=0x1000 * (2 * n + 1))
        drive.memory.segments.append(piece)
        drive.client.dma_map(piece)
        piece.view[:] = bytes([n + 1]) * 0x1000
        pieces.append(piece)
    assert drive.transfer(WRITE, 0, 64, 0x4000000, 0x8000).status == 0
    assert drive.read(0, 0x8000) == b"".join(bytes([n + 1]) * 0x1000 for n in range(8))


def test_file_that_grew(target):
    """The same file, larger: what was not there when it was first mapped can be used."""
    client = target.qemu(target.memory())
    fd = file_of(0x100000)
    client.dma_map(client.memory.add(0, 0x100000, fd=fd))
    os.ftruncate(fd, 0x1000000)
    grown = client.memory.add(0x1000000, 0x800000, fd=fd, offset=0x100000)
    os.close(fd)
    nvme = Nvme(client, segment=grown)
    nvme.enable()
    assert nvme.identify(1)[:2] == client.read(7, 0, 2)


# ---- memory smaller than it claims


def shrunk(nvme: Nvme) -> Segment:
    """Maps memory, then makes its file smaller."""
    extra = Segment(0x4000000, 0x100000)
    nvme.memory.segments.append(extra)
    nvme.client.dma_map(extra)
    os.ftruncate(extra.fd, 0x1000)
    return extra


def thrown_out(target, nvme):
    """The client is expelled for it; nobody else is touched; the next is served."""
    assert nvme.client.closed_by_server()
    target.refusal("smaller")
    target.wait_free()
    again = target.drive()
    assert len(again.read(0, 4096)) == 4096


def test_shrunk_memory_as_admin_data(target):
    nvme = target.drive()
    extra = shrunk(nvme)
    nvme.submit(0, nvme.sqe(IDENTIFY, prp1=extra.addr + 0x10000, cdw=[1]))
    thrown_out(target, nvme)


@pytest.mark.parametrize("opcode", [READ, WRITE])
def test_shrunk_memory_as_io_data(target, opcode):
    """The kernel meets the hole, and the command fails with a data transfer error. Only where the host just then looks
    whether this memory is shared, it meets the hole itself, and the client is expelled."""
    nvme = target.drive()
    extra = shrunk(nvme)
    try:
        assert nvme.transfer(opcode, 0, 64, extra.addr + 0x20000, 0x8000).status == DATA_ERROR
        assert len(nvme.read(0, 4096)) == 4096
    except (Disconnected, ConnectionError):
        thrown_out(target, nvme)
    else:
        target.not_refused()


def test_shrunk_memory_as_queue(target):
    nvme = target.drive()
    extra = shrunk(nvme)
    nvme.create_cq(2, 64, extra.addr + 0x2000)
    nvme.create_sq(2, 64, extra.addr + 0x3000)
    nvme.doorbell(2, False, 1)
    thrown_out(target, nvme)


def test_shrunk_memory_as_prp_list(target):
    nvme = target.drive()
    extra = shrunk(nvme)
    nvme.submit(1, nvme.sqe(READ, 1, nvme.pages(1), extra.addr + 0x5000, [0, 0, 255]))
    thrown_out(target, nvme)


def test_shrunk_memory_as_shadow_doorbells(target):
    nvme = target.drive()
    extra = shrunk(nvme)
    nvme.submit(0, nvme.sqe(DOORBELL_BUFFER, prp1=extra.addr + 0x6000, prp2=extra.addr + 0x7000))
    try:
        nvme.doorbell(1, False, 0)
    except (Disconnected, OSError):
        pass  # the buffers were looked at before
    thrown_out(target, nvme)


def test_file_emptied_and_grown_again(target):
    """Pages that went and came back are the client's loss, and nobody else's."""
    nvme = target.drive()
    extra = shrunk(nvme)
    os.ftruncate(extra.fd, 0)
    os.ftruncate(extra.fd, extra.size)
    assert nvme.transfer(READ, 0, 8, extra.addr, 4096).status == 0
    assert nvme.identify(1)


def test_sealed_and_huge_sparse_file(target):
    """A file of 1 TiB costs nothing until it is used."""
    client = target.qemu(target.memory())
    fd = file_of(1 << 40)
    segment = client.memory.add(1 << 40, 1 << 23, fd=fd, offset=1 << 39)
    assert client.map_error(1 << 42, 1 << 38, fds=[fd]) == 0
    os.close(fd)
    nvme = Nvme(client, segment=segment)
    nvme.enable()
    nvme.io_queue(1)
    assert len(nvme.read(0, 4096)) == 4096


def test_more_memory_than_there_is(client):
    """Files whose sizes sum to more than any machine: refused at some point, not fatal."""
    errors = set()
    for n in range(12):
        fd = file_of(1 << 43)
        errors.add(client.map_error(n << 43, 1 << 43, fds=[fd]))
        os.close(fd)
    assert errors <= {0, errno.ENOSPC, errno.ENOMEM} and errors != {0}
    assert client.info()[0] & 2


# ---- share=off


def test_memory_that_is_not_shared(target):
    """Found by comparing; the client is refused with the reason."""
    memory = target.memory()
    nvme = Nvme(target.qemu(memory), segment=memory.add(0x100000, 8 << 20, shared=False))
    try:
        nvme.enable()
        for _ in range(20):
            nvme.submit(0, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))
            nvme.client.pump(0.05)
        pytest.fail("the client is served from memory that is not its own")
    except (Disconnected, OSError):
        pass
    reason = target.refusal("not shared", "share=on")
    shown = target.world.daemon.ok("list", "-v", "-u", target.uuid)
    assert reason in shown
    assert reason in target.world.daemon.ok("events")


def test_shared_memory_is_taken_for_shared(target):
    """However little there is in it, and while the guest writes to it all the time."""
    nvme = target.drive()
    for n in range(200):
        nvme.memory.write(nvme.queues[1].sq + 63 * 64, struct.pack("<Q", n))
        nvme.write(n, bytes([n]) * 512)
    target.not_refused()
    assert target.listing()["in_use"]


def test_guest_memory_that_changes_during_the_look(target):
    """The guest writes to the page between the device's look at it and the VMM's answer."""
    memory = target.memory()
    client = target.qemu(memory)
    nvme = Nvme(client, memory)
    client.hold_dma = []
    nvme.enable()
    for turn in range(100):
        nvme.identify(1)
        for message in client.hold_dma:
            memory.write(nvme.queues[0].sq + 31 * 64, struct.pack("<QQ", turn, ~turn & (1 << 64) - 1))
            client.answer_dma(message)
        client.hold_dma.clear()
    target.not_refused()


def test_client_that_answers_no_dma_messages(target):
    """One that never answers the question is served all the same."""
    client = target.qemu(target.memory())
    client.hold_dma = []
    nvme = Nvme(client)
    nvme.enable()
    nvme.io_queue(1)
    for n in range(64):
        nvme.write(n, bytes([n]) * 512)
    assert nvme.read(63, 512) == bytes([63]) * 512
    target.not_refused()


def test_queue_address_is_not_followed_before_enable(target):
    """Addresses of queues outside of all memory: fatal status, no more."""
    client = target.qemu(GuestMemory())
    client.write(0, ASQ, struct.pack("<Q", TOP - 0x1000))
    client.write(0, ASQ + 8, struct.pack("<Q", TOP - 0x2000))
    client.write32(0, 0x24, 0x001f001f)
    client.write32(0, CC, 0x00460001)
    client.write32(0, 0x1000, 5)
    deadline = time.monotonic() + 5
    while not client.read32(0, CSTS) & 2:
        assert time.monotonic() < deadline, "no fatal status"
    assert client.info()[0] & 2
