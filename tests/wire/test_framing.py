# SPDX-License-Identifier: BSD-3-Clause
"""Messages in any pieces, many at once, without reply, of wrong sizes, and left unfinished."""

import errno
import os
import struct

import pytest

from umdevtest import wait_for
from umdevtest.vfiouser import (ACCESS_BODY, CONFIG, DEVICE_RESET, DMA_MAP, GET_INFO, GET_IRQ_INFO, GET_REGION_INFO,
                                HEADER, INFO_BODY, MAP_BODY, NO_REPLY, REGION_READ, REGION_WRITE, REPLY, SET_IRQS,
                                WRITE_MULTI, NoReply)

STALL_LIMIT_S = 10
INFO = INFO_BODY.pack(16, 0, 0, 0)


def limit(client_capabilities):
    """The longest message that the server takes: header, address and count, data."""
    return client_capabilities["max_data_xfer_size"] + 32


@pytest.mark.parametrize("cut", range(1, 32))
def test_two_pieces(client, cut):
    message = client.ok(GET_INFO, INFO, pieces=(cut,))
    assert struct.unpack_from("=I", message.body, 8)[0] == 9


def test_byte_by_byte(client):
    data = bytes(range(1, 9))
    client.ok(REGION_WRITE, ACCESS_BODY.pack(0x28, 0, 8) + data, pieces=(1,) * 40)
    assert client.read(0, 0x28, 8)[2:] == data[2:]  # the low 12 bits of ASQ are reserved


@pytest.mark.parametrize("pieces", [(1,), (15,), (16,), (17,), (47,), (4, 4, 4, 4, 4)])
def test_descriptor_with_the_first_piece(target, pieces):
    client = target.qemu(target.memory())
    segment = client.memory.add(0x10000, 0x10000)
    client.ok(DMA_MAP, MAP_BODY.pack(32, 7, 0, segment.addr, segment.size), [segment.fd], pieces=pieces)
    assert client.unmap_error(segment.addr, segment.size) == 0


@pytest.mark.parametrize("pieces", [(16,), (20,), (16, 8)])
def test_descriptor_with_the_body(target, pieces):
    """It belongs to the first byte; one that comes later is not the message's, and is closed."""
    client = target.qemu(target.memory())
    segment = client.memory.add(0x10000, 0x10000)
    body = MAP_BODY.pack(32, 7, 0, segment.addr, segment.size)
    assert client.call(DMA_MAP, body, [segment.fd], pieces=pieces, fds_with=1).failed == errno.EINVAL


def test_pipelining(client):
    count = 500
    first = client.message(GET_INFO, INFO)
    data = first + b"".join(client.message(GET_INFO, INFO) if n % 2 else client.message(GET_IRQ_INFO, INFO)
                            for n in range(count - 1))
    client.send_raw(data)
    ident = HEADER.unpack_from(first)[0]
    for n in range(count):
        message = client.reply(ident + n, GET_INFO if n % 2 == 0 else GET_IRQ_INFO)
        assert not message.failed


def test_pipelining_in_odd_pieces(client):
    data = b"".join(client.message(GET_INFO, INFO, ident=7) for _ in range(64))
    client.send_raw(data, pieces=(5, 31, 33, 64, 1, 200, 7))
    for _ in range(64):
        assert client.reply(7, GET_INFO).body[8:12] == b"\t\0\0\0"


def test_pipelined_maps(target):
    """Descriptors of several messages in the socket at once do not mix."""
    client = target.qemu(target.memory())
    segments = [client.memory.add(0x100000 * n, 0x1000 * n) for n in range(1, 21)]
    idents = [client.send(DMA_MAP, MAP_BODY.pack(32, 7, 0, s.addr, s.size), [s.fd]) for s in segments]
    idents += [client.send(DMA_MAP, MAP_BODY.pack(32, 7, 0, s.addr, s.size * 2), [s.fd]) for s in segments]
    for n, ident in enumerate(idents):
        assert client.reply(ident, DMA_MAP).failed == (0 if n < 20 else errno.EEXIST)


def test_ids_may_repeat_and_be_anything(client):
    for ident in (0, 0, 65535, 1, 0):
        client.ok(GET_INFO, INFO, ident=ident)


def test_error_field_of_a_command_means_nothing(client):
    client.ok(GET_INFO, INFO, error=5)


@pytest.mark.parametrize("command, body", [
    (DMA_MAP, MAP_BODY.pack(32, 3, 0, 0x1000, 0x1000)), (3, struct.pack("=IIQQ", 24, 0, 0x1000, 0x1000)),
    (GET_INFO, INFO), (GET_REGION_INFO, bytes(32)), (6, bytes(16)), (GET_IRQ_INFO, INFO),
    (SET_IRQS, struct.pack("=IIIII", 20, 0x21, 0, 0, 0)), (REGION_READ, ACCESS_BODY.pack(0, CONFIG, 64)),
    (REGION_WRITE, ACCESS_BODY.pack(0x3c, CONFIG, 1) + b"\7"), (DEVICE_RESET, b""),
    (WRITE_MULTI, bytes(8)), (16, bytes(8)), (14, b""), (99, b"x"), (REGION_READ, b""), (GET_INFO, b"1"),
])
def test_no_reply(client, command, body):
    """No reply to any command that wants none, right or wrong; the next one is answered."""
    client.send(command, body, flags=NO_REPLY)
    assert client.info()[0] & 2
    with pytest.raises(NoReply):
        client.recv(0.02)


def test_posted_writes_keep_their_order(client):
    for value in range(0x1000, 0x101000, 0x1000):
        client.write32(0, 0x28, value, posted=True)
    assert client.read32(0, 0x28) == 0x100000


@pytest.mark.parametrize("command", [0, 11, 12, 14, 19, 100, 32767, 65535])
def test_unknown_command(client, command):
    assert client.call(command, bytes(24)).failed == errno.ENOSYS
    assert client.info()[0] & 2


def thrown_out(target, data, *words):
    """What costs the client its session, and what the operator reads."""
    client = target.qemu()
    client.send_raw(data)
    assert client.closed_by_server()
    target.refusal(*words)
    target.wait_free()
    assert target.qemu().info()[0] & 2


@pytest.mark.parametrize("size", [0, 1, 15])
def test_size_below_a_header(target, size):
    thrown_out(target, HEADER.pack(1, GET_INFO, size, 0, 0), f"size {size}")


@pytest.mark.parametrize("size", [1 << 24, 0x7fffffff, 0x80000000, 0xffffffff])
def test_size_beyond_all_bounds(target, size):
    thrown_out(target, HEADER.pack(1, GET_INFO, size, 0, 0), str(size))


def test_size_at_the_limit(target):
    client = target.connect()
    most = limit(client.like_qemu())
    client.ok(GET_INFO, INFO + bytes(most - HEADER.size - len(INFO)))
    client.send_raw(HEADER.pack(1, GET_INFO, most + 1, 0, 0))
    assert client.closed_by_server()
    target.refusal(str(most + 1), str(most))


@pytest.mark.parametrize("kind", range(2, 16))
def test_message_of_no_type(target, kind):
    thrown_out(target, HEADER.pack(1, GET_INFO, 16, kind, 0), f"flags {kind:#x}")


def test_garbage(target):
    thrown_out(target, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "client sent")


@pytest.mark.parametrize("command", [11, 12, GET_INFO, 99])
def test_reply_to_nothing(target, command):
    thrown_out(target, HEADER.pack(9, command, 16, REPLY, 0), "answered a request that was not made")


@pytest.mark.parametrize("command, least", [
    (DMA_MAP, 32), (3, 24), (GET_INFO, 16), (GET_REGION_INFO, 32), (6, 16), (GET_IRQ_INFO, 16), (SET_IRQS, 20),
    (REGION_READ, 16), (REGION_WRITE, 16), (WRITE_MULTI, 8), (16, 8),
])
def test_body_shorter_than_its_struct(client, command, least):
    for length in range(least):
        for fill in (b"\0", b"\1", b"\xff"):
            assert client.call(command, fill * length).failed == errno.EINVAL, f"{length} bytes of {fill}"
    assert client.info()[0] & 2


@pytest.mark.parametrize("extra", [1, 7, 4096])
def test_body_longer_than_its_struct(client, extra):
    client.ok(GET_INFO, INFO + b"\xff" * extra)
    client.ok(GET_IRQ_INFO, INFO + b"\xff" * extra)
    assert client.region_info(CONFIG, pad=extra)["size"] in (256, 4096)
    message = client.ok(REGION_READ, ACCESS_BODY.pack(0, CONFIG, 4) + b"\xff" * extra)
    assert len(message.body) == 20
    client.ok(DEVICE_RESET, b"\xff" * extra)
    assert client.unmap_error(0x1000, 0x1000) == 0


@pytest.mark.parametrize("argsz", [0, 1, 15])
def test_argsz_below_its_struct(client, argsz):
    assert client.call(GET_INFO, INFO_BODY.pack(argsz, 0, 0, 0)).failed == errno.EINVAL
    assert client.call(GET_IRQ_INFO, INFO_BODY.pack(argsz, 0, 0, 0)).failed == errno.EINVAL
    assert client.call(GET_REGION_INFO, struct.pack("=IIIIQQ", argsz + 16, 0, 0, 0, 0, 0)).failed == errno.EINVAL


HALF = [
    ("half a header", HEADER.pack(1, GET_INFO, 32, 0, 0)[:9]),
    ("a header without its body", HEADER.pack(1, GET_INFO, 32, 0, 0)),
    ("half a body", HEADER.pack(1, GET_INFO, 32, 0, 0) + INFO[:5]),
    ("most of a long write",
     HEADER.pack(1, REGION_WRITE, 65536, 0, 0) + ACCESS_BODY.pack(0, CONFIG, 65000) + bytes(60000)),
]


@pytest.mark.parametrize("data", [data for _, data in HALF], ids=[name for name, _ in HALF])
def test_client_exits_in_the_middle(target, data):
    for _ in range(3):
        client = target.qemu()
        client.send_raw(data)
        client.close()
        target.wait_free()
    assert target.qemu().info()[0] & 2


def test_client_exits_in_the_middle_with_descriptors(target):
    for count in (1, 16, 64, 253):
        client = target.qemu()
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        client.send_raw(HEADER.pack(1, SET_IRQS, 1000, 0, 0), fds)
        for fd in fds:
            os.close(fd)
        client.close()
        target.wait_free()
    assert target.qemu().info()[0] & 2


def test_client_stalls_in_the_middle(make_target):
    """Each kind of stall costs the client its session after a while, and nobody else anything."""
    targets = [make_target() for _ in HALF]
    clients = [target.qemu() for target in targets]
    fd = os.open("/dev/null", os.O_RDONLY)
    for client, (_, data) in zip(clients, HALF):
        client.send_raw(data, [fd])
    os.close(fd)
    other = make_target("plain").qemu()
    assert other.info()[0] & 2
    assert not clients[0].closed_by_server(1), "a slow client gets some time"
    for client, target in zip(clients, targets):
        assert client.closed_by_server(STALL_LIMIT_S + 5)
        target.refusal("in the middle of a message")
        assert target.qemu().info()[0] & 2


def test_slow_client_is_served(target):
    """Pieces that keep coming are no stall, as long as the message ends in time."""
    client = target.qemu()
    data = client.message(GET_INFO, INFO)
    for at in range(0, len(data), 8):
        client.send_raw(data[at:at + 8])
        assert not client.readable(0.05) or at + 8 >= len(data)
    assert not client.reply(HEADER.unpack_from(data)[0], GET_INFO).failed


def test_client_that_does_not_read(target):
    """Replies that nobody reads stop the client's commands, not the server."""
    client = target.qemu()
    request = client.message(REGION_READ, ACCESS_BODY.pack(0, CONFIG, 256), ident=3)
    client.sock.settimeout(0.5)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += client.sock.send(request * 64)
    except TimeoutError:
        pass
    assert 0 < sent < 64 << 20, "the server takes commands without end"
    target.world.neighbour.check()
    assert target.listing()["in_use"]
    for _ in range(min(sent // len(request), 2000)):
        assert len(client.reply(3, REGION_READ).body) == 272
    client.close()
    target.wait_free()


def test_client_that_leaves_with_replies_unread(target):
    for _ in range(5):
        client = target.qemu()
        client.send_raw(client.message(REGION_READ, ACCESS_BODY.pack(0, CONFIG, 256)) * 200)
        client.close()
        target.wait_free()


def test_half_closed_connection(target):
    """A client that shuts its writing side down has left, but gets the replies it waits for."""
    client = target.qemu()
    data = client.message(GET_INFO, INFO, ident=5)
    client.send_raw(data)
    client.sock.shutdown(1)
    assert not client.reply(5, GET_INFO).failed
    assert client.closed_by_server()
    wait_for(lambda: not target.listing()["in_use"], "the device to be free")
