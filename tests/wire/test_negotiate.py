# SPDX-License-Identifier: BSD-3-Clause
"""VERSION, the clients of the world, one client at a time, the next client."""

import errno
import json
import struct
import time

import pytest

from umdevtest import wait_for
from umdevtest.vfiouser import (CONFIG, DATA_EVENTFD, DATA_NONE, DMA_MAP, ERR_IRQ, GET_INFO, HEADER, MAP_BODY, NO_REPLY,
                                QEMU_CAPABILITIES, TRIGGER, VERSION, Disconnected, close_fds, eventfd)

NEGOTIATION_LIMIT_S = 10  # an idle client has to go after this


def version_body(text=b"", major=0, minor=0):
    """The body of a VERSION message."""
    return struct.pack("=HH", major, minor) + text


def capabilities(**members):
    """Capabilities as a client sends them."""
    return json.dumps({"capabilities": members}).encode() + b"\0"


def test_what_is_offered_suits_qemu(target):
    offered = target.connect().like_qemu()
    assert 0 <= offered["max_msg_fds"] <= 16
    assert 4096 <= offered["max_data_xfer_size"] <= 64 << 20
    assert offered["max_dma_maps"] == 65535
    assert offered["pgsizes"] == 4096
    assert offered["write_multiple"] is True
    assert set(offered) <= {"max_msg_fds", "max_data_xfer_size", "max_dma_maps", "pgsizes", "write_multiple",
                            "migration"}


def test_version_reply_is_short(target):
    client = target.connect()
    message = client.call(VERSION, version_body(QEMU_CAPABILITIES + b"\0"))
    assert HEADER.size + len(message.body) <= 200
    assert message.body[-1:] == b"\0"


def test_qemu_startup(target):
    """What QEMU sends while it realizes the device and resets the machine."""
    memory = target.memory()
    low, high = memory.add(0, 0xa0000), memory.add(0xc0000, 0x1000000, offset=0xc0000)
    client = target.qemu(memory)
    maps = [(MAP_BODY.pack(32, 3, 0, low.addr, low.size), [low.fd]),
            (MAP_BODY.pack(32, 3, 0xc0000, high.addr, high.size), [high.fd]),
            (MAP_BODY.pack(32, 1, 0, 0xfffc0000, 0x40000), [])]
    idents = [client.send(DMA_MAP, body, fds) for body, fds in maps]
    for ident in idents:
        assert not client.reply(ident, DMA_MAP).failed
    flags, regions, irqs = client.info()
    assert flags & 3 == 3 and 8 <= regions <= 100 and 3 <= irqs <= 50
    for index in (0, 1, 2, 3, 4, 5, 7):
        info = client.region_info(index, 32)
        assert info["argsz"] >= 32 and not info["fds"]
    assert client.irq_info(ERR_IRQ)[1] in (0, 1)
    size = client.region_info(CONFIG)["size"]
    assert size in (256, 4096)
    config = client.read(CONFIG, 0, size)
    assert config[:2] not in (b"\0\0", b"\xff\xff")
    rom = client.read32(CONFIG, 0x30)
    client.write32(CONFIG, 0x30, 0xfffff800)
    assert client.read32(CONFIG, 0x30) == 0
    client.write32(CONFIG, 0x30, rom)
    error = eventfd()
    if client.irq_info(ERR_IRQ)[1]:
        client.set_irqs(DATA_EVENTFD | TRIGGER, ERR_IRQ, 0, 1, [error])
    client.set_irqs(DATA_NONE | TRIGGER, 0, 0, 0)
    client.write(CONFIG, 4, b"\0\0")
    client.reset()
    for offset in range(0x10, 0x28, 4):
        client.write32(CONFIG, offset, 0)
    close_fds([error])
    target.not_refused()


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 65535])
def test_minor_version_is_at_most_the_proposed(target, minor):
    major, got, _ = target.connect().version(0, minor)
    assert major == 0 and got <= minor


def test_cloud_hypervisor(target):
    client = target.connect()
    major, minor, _ = client.like_cloud_hypervisor()
    assert (major, minor) in ((0, 0), (0, 1))
    assert client.info()[0] & 2
    assert len(client.read(CONFIG, 0, 64)) == 64


def test_cloud_hypervisor_reads_errors_at_full_size(target):
    """It reads replies at fixed sizes and does not look at the error flag."""
    client = target.connect()
    client.like_cloud_hypervisor()
    access = struct.pack("=QII", 1 << 40, 0, 8)
    client.send_raw(client.message(9, access))
    message = client.recv()
    assert message.error == errno.EINVAL
    assert message.body == access + b"\xff" * 8
    client.send_raw(client.message(10, access + bytes(8)))
    message = client.recv()
    assert message.error == errno.EINVAL
    assert message.body == access


def test_spdk(target):
    """No JSON, long bodies, every id zero, a descriptor with DMA_UNMAP, no interrupts at all."""
    client = target.connect(target.memory())
    assert client.like_spdk() in ((0, 0), (0, 1))
    info = struct.pack("=IIIIQQ", 4064, 0, 0, 0, 0, 0) + bytes(4064 - 32)
    message = client.ok(5, info, ident=0)
    assert struct.unpack_from("=Q", message.body, 16)[0] >= 0x2000
    message.close()
    segment = client.memory.add(1 << 47, 0x200000)
    client.ok(DMA_MAP, MAP_BODY.pack(32, 3, 0, segment.addr, segment.size), [segment.fd], ident=0)
    assert client.unmap_error(segment.addr, segment.size, fds=[segment.fd], ident=0) == 0


def refused_version(target, body, *words):
    """A VERSION message that must cost the connection."""
    client = target.connect()
    message = client.call(VERSION, body)
    assert message.failed == errno.EINVAL
    assert client.closed_by_server()
    target.refusal(*words)


def test_other_major_version(target):
    refused_version(target, version_body(QEMU_CAPABILITIES + b"\0", 1), "major version")


@pytest.mark.parametrize("text", [
    b"\0", b"{\0", b"[]\0", b"null\0", b'"capabilities"\0', b"{}", b'{"capabilities":{}}', b'{"capabilities":[]}\0',
    b'{"capabilities":1}\0', b"\xff\xfe\0", b'{"capabilities":{}} x\0', b'{"capabilities":' * 3000 + b"\0",
], ids=lambda text: repr(text)[:24])
def test_capabilities_that_are_none(target, text):
    refused_version(target, version_body(text), "VERSION")


@pytest.mark.parametrize("members", [
    {"max_msg_fds": "8"}, {"max_msg_fds": -1}, {"max_msg_fds": 1.5}, {"max_msg_fds": None},
    {"max_data_xfer_size": 0}, {"max_data_xfer_size": -4096}, {"max_data_xfer_size": True},
    {"max_dma_maps": -1}, {"max_dma_maps": []}, {"pgsizes": 0}, {"pgsizes": "4096"}, {"write_multiple": 1},
], ids=str)
def test_capabilities_of_the_wrong_kind(target, members):
    refused_version(target, version_body(capabilities(**members)), "VERSION")


def test_capabilities_too_long(target):
    refused_version(target, version_body(capabilities(x="y" * 100000)), "VERSION")


@pytest.mark.parametrize("members", [
    {}, {"unheard_of": {"deep": [1, 2, 3]}}, {"twin_socket": {"supported": True, "fd_index": 0}},
    {"max_msg_fds": 0}, {"max_data_xfer_size": 1}, {"max_dma_maps": 0}, {"migration": {"pgsize": 4096}},
    {"pgsizes": 4096 | 1 << 21 | 1 << 30},
], ids=str)
def test_capabilities_that_are_fine(target, members):
    client = target.connect()
    offered = client.version(capabilities=capabilities(**members))[2]
    assert "twin_socket" not in offered
    assert client.info()[0] & 2
    target.not_refused()


@pytest.mark.parametrize("text", [b'{}\0', b'{"other":1}\0'])
def test_no_capabilities_member(target, text):
    client = target.connect()
    assert not client.call(VERSION, version_body(text)).failed
    assert client.info()[0] & 2


@pytest.mark.parametrize("length", range(4))
def test_short_version(target, length):
    refused_version(target, bytes(length), "VERSION")


def test_second_version(client, target):
    assert client.call(VERSION, version_body(QEMU_CAPABILITIES + b"\0")).failed == errno.EINVAL
    assert client.info()[0] & 2
    target.not_refused()


@pytest.mark.parametrize("command", [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 16, 99])
def test_command_before_version(target, command):
    client = target.connect()
    assert client.call(command, bytes(64)).failed == errno.EINVAL
    assert client.closed_by_server()
    target.refusal("before VERSION")


def test_version_without_reply(target):
    client = target.connect()
    client.send(VERSION, version_body(QEMU_CAPABILITIES + b"\0"), flags=NO_REPLY)
    assert client.info()[0] & 2


def turned_away(target):
    """Whether a further client is refused at once."""
    begin = time.monotonic()
    client = target.connect()
    try:
        client.send(VERSION, version_body(QEMU_CAPABILITIES + b"\0"))
        client.recv(1)
    except (Disconnected, BrokenPipeError, ConnectionResetError):
        return time.monotonic() - begin < 1
    finally:
        client.close()
    return False


def test_second_client(client, target):
    """It is refused at once, with a reason, and the first does not notice."""
    for _ in range(3):
        assert turned_away(target)
        target.refusal("in use")
    assert client.info()[0] & 2
    assert target.listing()["in_use"]


def test_many_second_clients(client, target):
    for _ in range(100):
        assert turned_away(target)
    assert client.info()[0] & 2


def test_second_client_while_the_first_negotiates(target):
    first = target.connect()
    assert turned_away(target)
    first.like_qemu()
    assert first.info()[0] & 2


def test_next_client_is_served(target):
    for _ in range(30):
        client = target.qemu()
        assert client.info()[0] & 2
        target.leave()


def test_data_are_kept_for_the_next_client(target):
    nvme = target.drive()
    data = bytes(range(256)) * 64
    nvme.write(100, data)
    scratch = nvme.reg(0x14)
    assert scratch & 1
    target.leave()
    nvme = target.drive(queue=False)
    nvme.disable()
    target.leave()
    again = target.qemu(target.memory())
    assert again.read32(0, 0x14) == 0, "the device was not reset between clients"
    target.leave()
    nvme = target.drive()
    assert nvme.read(100, len(data)) == data


def test_listing_tells_of_the_client(target):
    assert not target.listing()["in_use"]
    client = target.qemu()
    shown = wait_for(lambda: target.listing().get("client"), "client in the listing")
    assert isinstance(shown["pid"], int) and isinstance(shown["uid"], int)
    assert target.listing()["state"] == "in-use"
    client.close()
    target.wait_free()
    assert not target.listing().get("client")
    kinds = [event["event"] for event in target.world.daemon.events(target.uuid, target.since)]
    assert kinds == ["client.connected", "client.disconnected"]


def test_idle_client_does_not_keep_the_device(make_target):
    """One that never says VERSION has to go, on an nvme and a null device alike."""
    targets = [make_target(), make_target("plain")]
    silent = [target.connect() for target in targets]
    for target, client in zip(targets, silent):
        assert client.closed_by_server(NEGOTIATION_LIMIT_S + 5)
        target.refusal("version", f"{NEGOTIATION_LIMIT_S} s")
        assert target.qemu().info()[0] & 2


def test_client_that_only_connects(target):
    for _ in range(50):
        target.connect().close()
    assert target.qemu().info()[0] & 2


def test_get_info_is_the_same_for_all(make_target):
    bodies = set()
    for target in (make_target(), make_target("plain")):
        message = target.qemu().ok(GET_INFO, struct.pack("=IIII", 16, 0, 0, 0))
        bodies.add(message.body)
    assert bodies == {struct.pack("=IIII", 16, 3, 9, 5)}
