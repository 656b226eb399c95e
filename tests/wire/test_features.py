# SPDX-License-Identifier: BSD-3-Clause
"""Commands that the server does not serve, or not so, and every command with every size.

The first part holds the stimuli that broke another server: they must get an error, and nothing may
be read beyond the message (which a build with AddressSanitizer sees).
"""

import errno
import random
import struct

import pytest

from umdevtest.vfiouser import (CONFIG, DEVICE_FEATURE, DEVICE_RESET, GET_INFO, HEADER, MAP_BODY, MIG_DATA_READ,
                                MIG_DATA_WRITE, NO_REPLY, Disconnected, GuestMemory, close_fds, null_fds)

GET, SET, PROBE = 1 << 16, 1 << 17, 1 << 18
MIGRATION, STATE, LOGGING_START, LOGGING_STOP, LOGGING_REPORT = 1, 2, 6, 7, 8


def feature(flags, data=b"", argsz=None):
    """A DEVICE_FEATURE request."""
    return struct.pack("=II", 8 + len(data) if argsz is None else argsz, flags) + data


@pytest.mark.parametrize("body, error", [
    (feature(SET | STATE), errno.EINVAL), (feature(GET | LOGGING_REPORT), errno.EINVAL),
    (feature(SET | LOGGING_START), errno.EINVAL),
    (feature(SET | STATE, struct.pack("=II", 8, 0)), errno.EINVAL),
    (feature(SET | STATE, struct.pack("=II", 0xffffffff, 0)), errno.EINVAL),
    (feature(GET | LOGGING_REPORT, struct.pack("=QQQ", 0, 1 << 63, 4096)), errno.EINVAL),
    (feature(SET | LOGGING_START, struct.pack("=QII", 4096, 0xffffffff, 0)), errno.EINVAL),
    (feature(SET | STATE, argsz=0xffffffff), errno.EINVAL),
    (feature(GET | LOGGING_STOP), errno.ENOTSUP), (feature(SET | MIGRATION), errno.ENOTSUP),
    (feature(GET | SET | PROBE | STATE), 0), (feature(PROBE | GET | MIGRATION), 0), (feature(PROBE | SET | STATE), 0),
    (feature(SET | LOGGING_STOP), 0), (feature(PROBE), errno.ENOTSUP), (feature(GET | 0xffff), errno.ENOTSUP),
    (feature(GET | 3), errno.ENOTSUP),
], ids=lambda value: value[:16].hex() if isinstance(value, bytes) else None)
def test_feature(client, body, error):
    """What is asked wrongly is refused, and nothing beyond the message is read."""
    message = client.call(DEVICE_FEATURE, body)
    assert message.failed == error
    assert error or message.body == body
    assert client.info()[0] & 2


@pytest.mark.parametrize("number, data", [(MIGRATION, 8), (STATE, 8)])
def test_feature_without_room(client, number, data):
    """A client that has no room for the answer is told how much it needs."""
    assert client.ok(DEVICE_FEATURE, feature(GET | number)).body == feature(GET | number, argsz=8 + data)


@pytest.mark.parametrize("body", [
    b"", bytes(7), feature(0), feature(STATE), feature(GET | SET | STATE), feature(1 << 19 | GET | STATE),
    feature(GET | STATE, argsz=0), feature(GET | STATE, argsz=7),
], ids=lambda body: body.hex() or "empty")
def test_feature_that_is_none(client, body):
    assert client.call(DEVICE_FEATURE, body).failed == errno.EINVAL


@pytest.mark.parametrize("command", [MIG_DATA_READ, MIG_DATA_WRITE])
def test_migration_data(client, command):
    """A device that runs has no stream to read or to write."""
    for body in (b"", bytes(8), struct.pack("=II", 8, 0xffffffff), b"\xff" * 4096):
        assert client.call(command, body).failed == errno.EINVAL


def test_old_dirty_pages(client):
    for body in (b"", bytes(8), b"\xff" * 64):
        assert client.call(14, body).failed == errno.ENOSYS


@pytest.mark.parametrize("addr, size, error", [
    (0xfffffffffffff000, 0x2000, errno.EINVAL), ((1 << 64) - 0x1000, (1 << 64) - 0x1000, errno.EINVAL),
    (0, 0, errno.EINVAL), (0x1000, 0, errno.EINVAL),
])
def test_map_that_wraps_or_is_empty(client, addr, size, error):
    memory = GuestMemory()
    segment = memory.add(0, 0x10000)
    assert client.map_error(addr, size, fds=[segment.fd]) == error
    assert client.map_error(addr, size) == error
    memory.close()


def test_map_larger_than_its_file(client):
    memory = GuestMemory()
    segment = memory.add(0, 0x10000)
    for size, offset in ((0x11000, 0), (0x10000, 0x1000), (0x1000, 0x10000), (1 << 40, 0), (0x1000, 1 << 40)):
        assert client.map_error(0x100000, size, offset, fds=[segment.fd]) == errno.EINVAL
    assert client.map_error(0x100000, 0x1000, 0xf000, fds=[segment.fd]) == 0
    memory.close()


# ---- every command, every size


def expect_alive(client):
    """The session goes on."""
    assert client.info()[0] & 2


@pytest.mark.parametrize("command", list(range(2, 19)) + [0, 19, 0xffff])
def test_every_size(client, command):
    """Bodies of any length and some contents: one reply each, and the session goes on."""
    for length in list(range(0, 70)) + [255, 256, 4096, 65536]:
        for fill in (0x00, 0x01, 0x10, 0xff):
            client.call(command, bytes([fill]) * length)
    expect_alive(client)


@pytest.mark.parametrize("command", range(2, 19))
def test_every_flag(client, command):
    """Flags of the first two words, one bit at a time."""
    for bit in range(32):
        client.call(command, struct.pack("=IIIIII", 64, 1 << bit, 0, 0, 1, 0) + bytes(40))
        client.call(command, struct.pack("=IIIIII", 1 << bit, 3, 0, 0, 1, 0) + bytes(40))
        client.call(command, struct.pack("=IIIIII", 64, 3, 1 << bit, 0, 1, 0) + bytes(40))
    expect_alive(client)


def random_message(rng, client):
    """A message that is somewhat like a good one."""
    command = rng.choice(list(range(2, 19)) + [rng.randrange(65536)])
    likely = [0, 1, 2, 3, 4, 7, 8, 16, 20, 24, 32, 64, 0x21, 0x24, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff]
    words = [rng.choice(likely + [rng.getrandbits(32)]) for _ in range(rng.randrange(12))]
    body = struct.pack(f"={len(words)}I", *words) + rng.randbytes(rng.choice([0, 0, 1, 8, 100]))
    flags = rng.choice([0, 0, 0, NO_REPLY])
    return client.message(command, body, flags), flags


@pytest.mark.parametrize("seed", range(6))
def test_random_messages(target, seed):
    """Thousands of messages that are nearly right: one reply for each that wants one."""
    rng = random.Random(seed)
    print(f"seed {seed}")
    client = target.qemu(target.memory())
    client.dma_map(client.memory.add(0x100000, 0x100000))
    for _ in range(1500):
        data, flags = random_message(rng, client)
        fds = null_fds(rng.choice([0, 0, 0, 0, 1, 2, 17]))
        pieces = (rng.randrange(1, len(data)),) if rng.random() < 0.02 else ()
        client.send_raw(data, fds, pieces)
        close_fds(fds)
        if flags:
            continue
        ident, command = HEADER.unpack_from(data)[:2]
        message = client.reply(ident, command)
        message.close()
    expect_alive(client)
    client.reset()
    assert client.read(CONFIG, 0, 2) not in (b"\0\0", b"\xff\xff")


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes(target, seed):
    """Bytes without any sense cost the session at most."""
    rng = random.Random(1000 + seed)
    for _ in range(40):
        client = target.connect()
        if rng.random() < 0.8:
            client.like_qemu()
        try:
            for _ in range(20):
                size = rng.choice([rng.getrandbits(32), rng.randrange(200), rng.randrange(16, 48)])
                header = HEADER.pack(rng.getrandbits(16), rng.randrange(20), size, rng.getrandbits(rng.choice([5, 32])),
                                     rng.getrandbits(32))
                client.send_raw(header + rng.randbytes(rng.randrange(100)))
        except (BrokenPipeError, ConnectionResetError):
            pass
        client.close()
        target.wait_free()
    assert target.qemu().info()[0] & 2


def test_messages_changed_by_a_bit(target):
    """Good messages with one bit turned over, each bit of each header and struct."""
    good = [(GET_INFO, struct.pack("=IIII", 16, 0, 0, 0)), (2, MAP_BODY.pack(32, 3, 0, 0x100000, 0x1000)),
            (3, struct.pack("=IIQQ", 24, 0, 0x100000, 0x1000)), (8, struct.pack("=IIIII", 20, 0x21, 2, 0, 1)),
            (9, struct.pack("=QII", 0, 0, 8)), (DEVICE_RESET, b"")]
    client = target.connect()
    most = client.like_qemu()["max_data_xfer_size"] + 32
    lost = 0
    for command, body in good:
        for bit in range(8 * (16 + len(body))):
            data = bytearray(client.message(command, body))
            data[bit // 8] ^= 1 << bit % 8
            size, flags = struct.unpack_from("=II", data, 4)
            client.send_raw(bytes(data))
            if size < 16 or size > most or flags & 0xf:
                assert client.closed_by_server()
                client.close()
            elif size > len(data) or size < len(data):
                client.close()  # out of step: nothing sensible can follow
            elif flags & NO_REPLY:
                expect_alive(client)
                continue
            else:
                try:
                    client.recv().close()
                except Disconnected:
                    pytest.fail(f"bit {bit} of command {command} cost the session")
                continue
            lost += 1
            target.wait_free()
            client = target.qemu()
    assert lost > 50
