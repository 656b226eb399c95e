# SPDX-License-Identifier: BSD-3-Clause
"""What the client is told of regions, its accesses to them, and WRITE_MULTI."""

import errno
import mmap
import os
import struct

import pytest

from umdevtest.vfiouser import (ACCESS_BODY, CONFIG, GET_REGION_INFO, MULTI_ENTRY, NO_REPLY, REGION_BODY, REGION_READ,
                                REGION_WRITE, ROM, VGA, WRITE_MULTI, close_fds)

READ, WRITE, MMAP, CAPS = 1, 2, 4, 8
SCRATCH = 4  # a register of the null device that keeps what is written to it
JOBS = 8
ASQ = 0x28  # one of the nvme device: 8 bytes, of which the low 12 bits are zero


def region_body(argsz, index):
    """A GET_REGION_INFO request."""
    return REGION_BODY.pack(argsz, 0, index, 0, 0, 0)


# ---- information


def test_regions_of_the_null_device(plain):
    client = plain.qemu()
    for index, size in {0: 4096, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, ROM: 0, CONFIG: 256, VGA: 0}.items():
        info = client.region_info(index)
        assert (info["size"], info["argsz"], info["areas"]) == (size, 32, [])
        assert info["flags"] == (READ | WRITE if size else 0)


@pytest.mark.parametrize("index", [9, 10, 255, 0x7fffffff, 0xffffffff])
def test_region_that_is_not_there(client, index):
    assert client.call(GET_REGION_INFO, region_body(4096, index)).failed == errno.EINVAL
    assert client.call(REGION_READ, ACCESS_BODY.pack(0, index, 4)).failed == errno.EINVAL
    assert client.call(REGION_WRITE, ACCESS_BODY.pack(0, index, 4) + bytes(4)).failed == errno.EINVAL


@pytest.mark.parametrize("index", [1, ROM, VGA])
def test_absent_region_cannot_be_accessed(client, index):
    assert client.read_error(index, 0, 1) == errno.EINVAL
    assert client.write_error(index, 0, b"1") == errno.EINVAL


@pytest.mark.parametrize("argsz", [0, 31])
def test_argsz_below_the_fixed_part(client, argsz):
    assert client.call(GET_REGION_INFO, region_body(argsz, 0)).failed == errno.EINVAL


@pytest.fixture
def shared(make_target):
    """A drive whose doorbells the client maps."""
    return make_target(attrs=[("nvme/doorbells", "shared")])


def test_sparse_area(shared):
    """With too small an argsz the client learns how much to ask for, and gets neither caps nor descriptor."""
    client = shared.qemu()
    short = client.region_info(0, 32)
    assert short["argsz"] > 32 and len(short["body"]) == 32
    assert short["flags"] & MMAP and not short["flags"] & CAPS and not short["fds"]
    for argsz in range(33, short["argsz"]):
        again = client.region_info(0, argsz)
        assert again["argsz"] == short["argsz"] and len(again["body"]) == 32 and not again["fds"]
    whole = client.region_info(0, short["argsz"])
    assert len(whole["body"]) == short["argsz"] == 32 + 8 + 8 + 16 * len(whole["areas"])
    assert whole["flags"] == READ | WRITE | MMAP | CAPS
    assert len(whole["fds"]) == 1
    (offset, size), = whole["areas"]
    assert offset == 0x1000 and size % 4096 == 0 and offset + size <= whole["size"]
    view = mmap.mmap(whole["fds"][0], size, offset=whole["offset"] + offset)
    close_fds(whole["fds"])
    view.close()


def test_area_is_what_messages_see(shared):
    client = shared.qemu()
    whole = client.region_info(0)
    (offset, size), = whole["areas"]
    view = mmap.mmap(whole["fds"][0], size, offset=whole["offset"] + offset)
    close_fds(whole["fds"])
    view[256:260] = b"abcd"
    assert client.read(0, offset + 256, 4) == b"abcd"
    client.write(0, offset + 512, b"efgh")
    assert view[512:516] == b"efgh"
    view.close()


def test_descriptor_of_a_region_is_of_no_harm(shared):
    """The client cannot make the memory behind the area smaller, which would kill the host."""
    client = shared.qemu()
    whole = client.region_info(0)
    fd = whole["fds"][0]
    for size in (0, 4096):
        with pytest.raises(OSError):
            os.ftruncate(fd, size)
    close_fds(whole["fds"])
    assert len(client.read(0, 0x1000, 8)) == 8


def test_many_requests_for_the_descriptor(shared):
    client = shared.qemu()
    for _ in range(300):
        fds = client.region_info(0)["fds"]
        assert len(fds) == 1
        close_fds(fds)


def test_io_descriptors(client):
    """No region is accessed by descriptors."""
    message = client.ok(6, struct.pack("=IIII", 4096, 0, 0, 0))
    assert struct.unpack("=IIII", message.body) == (16, 0, 0, 0)
    assert client.call(6, struct.pack("=IIII", 4096, 0, 9, 0)).failed == errno.EINVAL
    assert client.call(6, struct.pack("=IIII", 4096, 1, 0, 0)).failed == errno.EINVAL
    assert client.call(6, struct.pack("=IIII", 15, 0, 0, 0)).failed == errno.EINVAL


# ---- accesses


@pytest.mark.parametrize("offset, count", [
    (4096, 1), (4095, 2), (0, 4097), (1 << 32, 4), ((1 << 64) - 1, 1), ((1 << 64) - 4, 8), (4092, 8),
])
def test_access_outside(plain, offset, count):
    client = plain.qemu()
    assert client.read_error(0, offset, count) == errno.EINVAL
    assert client.write_error(0, offset, bytes(count)) == errno.EINVAL


@pytest.mark.parametrize("offset, count", [(256, 1), (255, 2), (0, 257), ((1 << 64) - 1, 2)])
def test_configuration_access_outside(plain, offset, count):
    client = plain.qemu()
    assert client.read_error(CONFIG, offset, count) == errno.EINVAL
    assert client.write_error(CONFIG, offset, bytes(count)) == errno.EINVAL


def test_access_of_no_bytes(client):
    assert client.read_error(CONFIG, 0, 0) == errno.EINVAL
    assert client.write_error(CONFIG, 0, b"") == errno.EINVAL


def test_access_longer_than_a_transfer(target):
    client = target.connect()
    most = client.like_qemu()["max_data_xfer_size"]
    for count in (most + 1, 1 << 20, 0x7fffffff, 0xffffffff):
        assert client.read_error(0, 0, count) == errno.EINVAL
        assert client.write_error(0, 0, bytes(8), count) == errno.EINVAL


@pytest.mark.parametrize("count", [5, 8, 4096, 0xffffffff])
def test_write_with_less_data_than_it_says(plain, count):
    client = plain.qemu()
    client.write32(0, SCRATCH, 0x11223344)
    assert client.write_error(0, SCRATCH, b"\xff" * 4, count) == errno.EINVAL
    assert client.read32(0, SCRATCH) == 0x11223344


def test_any_size_and_alignment(plain):
    client = plain.qemu()
    whole = client.read(0, 0, 4096)
    assert whole[:4] == b"null"
    for offset in (0, 1, 2, 3, 4, 5, 7, 8, 100, 4091):
        for count in (1, 2, 3, 4, 5, 7, 8, 16, 100):
            if offset + count <= 4096:
                assert client.read(0, offset, count) == whole[offset:offset + count]


def test_configuration_in_one_read(client):
    size = client.region_info(CONFIG)["size"]
    whole = client.read(CONFIG, 0, size)
    for count in (1, 2, 4, 64):
        pieces = b"".join(client.read(CONFIG, offset, count) for offset in range(0, 256, count))
        assert pieces == whole[:256]


def test_bars_are_sized_as_the_regions_are(client):
    for index in (0, 2, 4):
        size = client.region_info(index)["size"]
        offset = 0x10 + 4 * index
        kind = client.read32(CONFIG, offset)
        client.write32(CONFIG, offset, 0xffffffff)
        mask = client.read32(CONFIG, offset)
        if not size:
            continue
        assert not kind & 1, "an I/O BAR"
        low = mask & ~0xf
        if kind & 6 == 4:
            client.write32(CONFIG, offset + 4, 0xffffffff)
            low |= client.read32(CONFIG, offset + 4) << 32
        else:
            low |= 0xffffffff << 32
        assert (~low + 1) & (1 << 64) - 1 == size


def test_moving_bars_is_only_bookkeeping(client):
    for address in (0, 0xfebf0000, 0xffffc000):
        client.write32(CONFIG, 0x10, address)
        assert client.read32(0, 8) == 0x00010400


def test_identity_cannot_be_written(client):
    before = client.read(CONFIG, 0, 64)
    client.write(CONFIG, 0, b"\xff" * 4)
    client.write(CONFIG, 8, b"\xff" * 4)
    client.write(CONFIG, 0x2c, b"\xff" * 8)
    assert client.read(CONFIG, 0, 4) == before[:4]
    assert client.read(CONFIG, 8, 4) == before[8:12]
    assert client.read(CONFIG, 0x2c, 8) == before[0x2c:0x34]


def test_capability_list_ends(client):
    seen = []
    at = client.read(CONFIG, 0x34, 1)[0]
    while at:
        assert at not in seen and at >= 0x40 and at % 4 == 0
        seen.append(at)
        at = client.read(CONFIG, at + 1, 1)[0]
    kinds = {client.read(CONFIG, at, 1)[0] for at in seen}
    assert {0x01, 0x10, 0x11} <= kinds


def test_msix_table_and_pba(client):
    at = client.capability(0x11)
    table, pba = client.read32(CONFIG, at + 4), client.read32(CONFIG, at + 8)
    vectors = (client.read32(CONFIG, at) >> 16 & 0x7ff) + 1
    bar, offset = table & 7, table & ~7
    size = client.region_info(bar)["size"]
    assert offset + 16 * vectors <= size and (pba & ~7) + 8 * (-(-vectors // 64)) <= size
    last = offset + 16 * (vectors - 1)
    assert client.read(bar, last, 16) == bytes(12) + b"\1\0\0\0"
    client.write(bar, last, b"\xff" * 16)
    assert client.read(bar, last, 16) == b"\xfc" + b"\xff" * 11 + b"\1\0\0\0"
    client.write(pba & 7, pba & ~7, b"\xff" * 8)
    assert client.read(pba & 7, pba & ~7, 8) == bytes(8)
    client.reset()
    assert client.read(bar, last, 16) == bytes(12) + b"\1\0\0\0"


# ---- REGION_WRITE_MULTI


def done(message):
    """How many entries were written."""
    assert not message.failed
    return struct.unpack("=Q", message.body)[0]


def test_multi(plain):
    client = plain.qemu()
    assert done(client.multi([(0, SCRATCH, struct.pack("<I", n)) for n in range(100)])) == 100
    assert client.read32(0, SCRATCH) == 99
    assert done(client.multi([])) == 0


def test_multi_without_reply(plain):
    """As QEMU sends it: 200 entries, no reply."""
    client = plain.qemu()
    for turn in range(20):
        client.multi([(0, SCRATCH, struct.pack("<I", turn * 200 + n)) for n in range(200)], flags=NO_REPLY)
    assert client.read32(0, SCRATCH) == 3999


@pytest.mark.parametrize("bad", [
    (9, 0, b"1"), (1, 0, b"1"), (0, 4096, b"1"), (0, 4094, b"1234"), (0, (1 << 64) - 1, b"12"), (0, SCRATCH, b""),
    (0xffffffff, 0, b"1"),
], ids=str)
def test_multi_checks_each_entry(plain, bad):
    client = plain.qemu()
    good = (0, SCRATCH, b"good")
    assert done(client.multi([bad, good, bad])) == 1
    assert client.read(0, SCRATCH, 4) == b"good"


@pytest.mark.parametrize("count", [9, 255, 0xffffffff])
def test_multi_entry_longer_than_its_data(plain, count):
    client = plain.qemu()
    client.write(0, SCRATCH, b"same")
    entries = MULTI_ENTRY.pack(SCRATCH, 0, count, b"x" * 8) + MULTI_ENTRY.pack(0, CONFIG, count, b"")
    body = struct.pack("=Q", 2) + entries
    assert done(client.call(WRITE_MULTI, body)) == 0
    assert client.read(0, SCRATCH, 4) == b"same"


@pytest.mark.parametrize("count", [3, 1 << 32, (1 << 64) - 1, (1 << 64) // 24 + 1])
def test_multi_count_beyond_its_body(plain, count):
    client = plain.qemu()
    client.write(0, SCRATCH, b"same")
    message = client.multi([(0, SCRATCH, b"bad!")] * 2, count=count)
    assert message.failed == errno.EINVAL
    assert client.read(0, SCRATCH, 4) == b"same", "a refused message wrote something"


def test_multi_body_cut_short(plain):
    client = plain.qemu()
    entry = MULTI_ENTRY.pack(SCRATCH, 0, 4, b"1234")
    for length in range(24):
        assert client.call(WRITE_MULTI, struct.pack("=Q", 1) + entry[:length]).failed == errno.EINVAL


def test_multi_fills_a_message(target):
    client = target.connect()
    most = client.like_qemu()["max_data_xfer_size"] + 32 - 16 - 8
    entries = most // 24
    assert done(client.multi([(CONFIG, 0x3c, bytes([n & 0xff])) for n in range(entries)])) == entries
    assert client.read(CONFIG, 0x3c, 1)[0] == entries - 1 & 0xff


def test_null_device_works(plain):
    """Its job ends and is counted, with an interrupt where one is wanted."""
    client = plain.qemu()
    for n in range(1, 20):
        client.write32(0, JOBS, 1, posted=True)
        assert client.read32(0, JOBS) in (n - 1, n)
    client.reset()
    assert client.read32(0, SCRATCH) == 0
