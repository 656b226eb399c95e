# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors where none belong, too many, or of the wrong kind. The fixture counts what is left open."""

import errno
import os
import select
import socket
import struct

import pytest

from umdevtest.vfiouser import (ACCESS_BODY, CONFIG, DATA_EVENTFD, DATA_NONE, DEVICE_RESET, DMA_MAP, GET_INFO, HEADER,
                                INFO_BODY, MAP_BODY, MSIX, NO_REPLY, REGION_WRITE, SET_IRQS, TRIGGER, UNMAP_BODY,
                                WRITE_MULTI, close_fds, eventfd, null_fds, signals)

MOST = 253  # descriptors that the kernel takes with one message
INFO = INFO_BODY.pack(16, 0, 0, 0)

COMMANDS = [
    ("DMA_UNMAP", 3, UNMAP_BODY.pack(24, 0, 0x1000, 0x1000)),
    ("GET_INFO", GET_INFO, INFO),
    ("GET_REGION_INFO", 5, struct.pack("=IIIIQQ", 4096, 0, 7, 0, 0, 0)),
    ("GET_REGION_IO_FDS", 6, INFO_BODY.pack(16, 0, 0, 0)),
    ("GET_IRQ_INFO", 7, INFO),
    ("REGION_READ", 9, ACCESS_BODY.pack(0, CONFIG, 4)),
    ("REGION_WRITE", REGION_WRITE, ACCESS_BODY.pack(0x3c, CONFIG, 1) + b"\1"),
    ("DEVICE_RESET", DEVICE_RESET, b""),
    ("WRITE_MULTI", WRITE_MULTI, bytes(8)),
]
NAMES = [name for name, _, _ in COMMANDS]


@pytest.mark.parametrize("command, body", [row[1:] for row in COMMANDS], ids=NAMES)
def test_stray_descriptors_are_closed(client, command, body):
    """A few where none belong do no harm: SPDK sends one with DMA_UNMAP."""
    for count in (1, 2, 16, 64):
        fds = null_fds(count)
        assert client.call(command, body, fds).failed == 0, f"{count} descriptors"
        close_fds(fds)


@pytest.mark.parametrize("command, body", [row[1:] for row in COMMANDS], ids=NAMES)
def test_253_stray_descriptors(client, command, body):
    fds = null_fds(MOST)
    assert client.call(command, body, fds).failed == errno.EINVAL
    client.send(command, body, fds, flags=NO_REPLY)
    close_fds(fds)
    assert client.info()[0] & 2


@pytest.mark.parametrize("command", [0, 11, 14, 99])
def test_descriptors_with_unknown_commands(client, command):
    fds = null_fds(MOST)
    assert client.call(command, bytes(24), fds).failed == errno.ENOSYS
    close_fds(fds)


def test_descriptors_before_version(target):
    client = target.connect()
    fds = null_fds(MOST)
    client.send_raw(HEADER.pack(1, GET_INFO, 32, 0, 0) + INFO, fds)
    close_fds(fds)
    assert client.reply(1, GET_INFO).failed == errno.EINVAL
    assert client.closed_by_server()


def test_descriptors_with_version(target):
    client = target.connect()
    fds = null_fds(3)
    data = client.message(1, bytes(4))
    client.send_raw(data, fds)
    close_fds(fds)
    assert not client.reply(HEADER.unpack_from(data)[0], 1).failed


def test_descriptors_with_garbage(target):
    client = target.qemu()
    fds = null_fds(MOST)
    client.send_raw(b"\xff" * 64, fds)
    close_fds(fds)
    assert client.closed_by_server()
    target.refusal()


def test_two_descriptors_with_a_map(target):
    client = target.qemu(target.memory())
    segment = client.memory.add(0x10000, 0x10000)
    for count in (2, 3, 64, MOST):
        assert client.map_error(0x10000, 0x10000, fds=[segment.fd] * count) == errno.EINVAL
    client.dma_map(segment)


def test_many_messages_with_descriptors_at_once(client):
    fds = null_fds(60)
    data = HEADER.pack(5, GET_INFO, 32, 0, 0) + INFO
    for _ in range(50):
        client.send_raw(data, fds)
    close_fds(fds)
    for _ in range(50):
        assert not client.reply(5, GET_INFO).failed


KINDS = {  # and what a map of it gets
    "pipe": errno.EINVAL, "socket": errno.EINVAL, "directory": errno.EINVAL, "/dev/null": errno.EINVAL,
    "/dev/zero": errno.EINVAL, "epoll": errno.EINVAL, "eventfd": errno.EINVAL, "path only": errno.EACCES,
    "read-only file": errno.EACCES,
}


def odd_descriptor(kind):
    """A descriptor that is no guest memory; the list holds what else to close."""
    if kind == "pipe":
        return list(os.pipe())
    if kind == "socket":
        return [end.detach() for end in socket.socketpair()]
    if kind == "directory":
        return [os.open("/", os.O_RDONLY)]
    if kind == "path only":
        return [os.open("/proc/self/exe", os.O_PATH)]
    if kind == "epoll":
        epoll = select.epoll()
        fd = os.dup(epoll.fileno())
        epoll.close()
        return [fd]
    if kind == "eventfd":
        return [eventfd()]
    if kind == "read-only file":
        fd = os.memfd_create("guest")
        os.ftruncate(fd, 0x10000)
        reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        return [reader, fd]
    return [os.open(kind, os.O_RDWR)]


@pytest.mark.parametrize("kind", KINDS)
def test_map_of_what_is_no_memory(client, kind):
    fds = odd_descriptor(kind)
    assert client.map_error(0x10000, 0x1000, flags=7, fds=fds[:1]) == KINDS[kind]
    assert client.map_error(0x10000, 0x1000, flags=3, fds=fds[:1]) == KINDS[kind]
    close_fds(fds)
    assert client.map_error(0x10000, 0x1000) == 0, "the failed map left something behind"


def test_map_of_a_file_that_may_only_be_read(client):
    fds = odd_descriptor("read-only file")
    assert client.map_error(0x10000, 0x1000, flags=3, fds=fds[:1]) == errno.EACCES
    assert client.map_error(0x10000, 0x1000, flags=1, fds=fds[:1]) == 0
    close_fds(fds)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("eventfd", "epoll")])
def test_interrupt_by_what_is_no_eventfd(client, kind):
    fds = odd_descriptor(kind)
    assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=fds[:1]) == errno.EINVAL
    close_fds(fds)
    event = eventfd()
    assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=[event]) == 0
    close_fds([event])


def test_interrupt_by_what_takes_no_signal(target):
    """Of the anonymous kind, but no eventfd: a signal to it fails, and nothing else happens."""
    fds = odd_descriptor("epoll")
    client = target.qemu()
    error = client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, fds=fds)
    assert error in (0, errno.EINVAL)
    assert client.irqs_error(DATA_NONE | TRIGGER, MSIX, 0, 1) == 0
    close_fds(fds)
    assert client.info()[0] & 2


@pytest.mark.parametrize("trick", ["passed in blocking mode", "made to block later"])
def test_full_eventfd(target, trick):
    """Whoever signals a full eventfd carelessly sleeps for ever, and all clients with it."""
    nvme = target.drive(queue=False)
    event = os.eventfd(0)
    nvme.client.set_irqs(DATA_NONE | TRIGGER, 0, 0, 0)
    nvme.client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, [event])
    at = nvme.client.capability(0x11)
    nvme.client.write(CONFIG, at + 3, b"\x80")
    os.eventfd_write(event, 0xfffffffffffffffe)
    if trick == "made to block later":
        os.set_blocking(event, True)
    try:
        for _ in range(5):
            nvme.identify(1)  # its completion signals vector 0
        target.world.neighbour.check()
    finally:
        drained = os.eventfd_read(event)
    assert drained >= 0xfffffffffffffffe
    os.set_blocking(event, False)
    nvme.identify(1)
    assert signals(event, 2) == 1, "interrupts stay lost after the counter was read"
    os.close(event)


def test_descriptors_in_pieces_and_gone(target):
    """Half a message with descriptors, then nothing: they are closed with the session."""
    for count in (1, MOST):
        client = target.qemu()
        fds = null_fds(count)
        client.send_raw(HEADER.pack(1, SET_IRQS, 20 + 16, 0, 0)[:5], fds)
        close_fds(fds)
        client.close()
        target.wait_free()


def test_no_reply_closes_descriptors(target):
    client = target.qemu(target.memory())
    segment = client.memory.add(0x10000, 0x10000)
    for _ in range(40):
        client.send(DMA_MAP, MAP_BODY.pack(32, 3, 0, 0, 12345), [segment.fd], flags=NO_REPLY)
        client.send(SET_IRQS, struct.pack("=IIIII", 20, 0x24, 9, 0, 1), [segment.fd], flags=NO_REPLY)
    assert client.info()[0] & 2
