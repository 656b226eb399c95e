# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts: every form of SET_IRQS, delivery by MSI-X, MSI and INTx, the INTx level protocol."""

import errno
import os
import struct

import pytest

from umdevtest.nvme import IDENTIFY, INTMC, INTMS, Nvme
from umdevtest.vfiouser import (CONFIG, DATA_BOOL, DATA_EVENTFD, DATA_NONE, ERR_IRQ, GET_IRQ_INFO, INFO_BODY, INTX,
                                MASK, MSI, MSIX, REQ_IRQ, TRIGGER, UNMASK, close_fds, eventfd, signals)

EVENTFD, MASKABLE, AUTOMASKED = 1, 2, 4
SOON_S = 2.0  # an interrupt that comes
NEVER_S = 0.1  # one that does not


@pytest.fixture
def events():
    """Makes eventfds and closes them at the end."""
    made = []

    def make(count=1):
        fresh = [eventfd() for _ in range(count)]
        made.extend(fresh)
        return fresh

    yield make
    close_fds(made)


# ---- information


def test_kinds(client, plain):
    assert client.irq_info(INTX) == (EVENTFD | MASKABLE | AUTOMASKED, 0) or client.irq_info(INTX)[1] == 1
    flags, count = client.irq_info(MSIX)
    assert flags & EVENTFD and count == (client.read32(CONFIG, client.capability(0x11)) >> 16 & 0x7ff) + 1
    assert client.irq_info(MSI)[1] == 0
    other = plain.qemu()
    assert [other.irq_info(index)[1] for index in (INTX, MSI, MSIX)] == [0, 1, 0]
    assert other.irq_info(MSI)[0] & EVENTFD


@pytest.mark.parametrize("index", [5, 6, 255, 0xffffffff])
def test_kind_that_is_not_there(client, index):
    assert client.call(GET_IRQ_INFO, INFO_BODY.pack(16, 0, index, 0)).failed == errno.EINVAL
    assert client.irqs_error(DATA_NONE | TRIGGER, index, 0, 0) == errno.EINVAL
    assert client.irqs_error(DATA_NONE | TRIGGER, index, 0, 1) == errno.EINVAL


# ---- SET_IRQS


@pytest.mark.parametrize("flags", [
    0, DATA_NONE, TRIGGER, DATA_NONE | DATA_BOOL | TRIGGER, DATA_NONE | MASK | TRIGGER, DATA_NONE | MASK | UNMASK,
    DATA_EVENTFD | DATA_BOOL | TRIGGER, 0x3f, DATA_NONE | TRIGGER | 0x40, DATA_NONE | TRIGGER | 1 << 31,
], ids=hex)
def test_not_exactly_one_kind_and_one_action(client, flags):
    assert client.irqs_error(flags, MSIX, 0, 1, b"\1") == errno.EINVAL


@pytest.mark.parametrize("flags", [DATA_NONE | TRIGGER, DATA_BOOL | TRIGGER, DATA_EVENTFD | TRIGGER], ids=hex)
@pytest.mark.parametrize("start, count", [
    (0, "n + 1"), ("n", 1), (1, "n"), (0xffffffff, 1), (0xffffffff, 2), (1, 0xffffffff), (0x80000000, 0x80000000),
], ids=str)
def test_vectors_that_are_not_there(client, flags, start, count):
    """Beyond the last by one, by much, and by an overflow."""
    there = client.irq_info(MSIX)[1]
    start = there if start == "n" else start
    count = {"n": there, "n + 1": there + 1}.get(count, count)
    assert client.irqs_error(flags, MSIX, start, count, b"\1" * min(count, 5000)) == errno.EINVAL


def test_count_zero(client, events):
    """It means one thing only: the whole index off."""
    assert client.irqs_error(DATA_NONE | TRIGGER, MSIX, 0, 0) == 0
    assert client.irqs_error(DATA_NONE | TRIGGER, MSIX, 1, 0) == errno.EINVAL
    assert client.irqs_error(DATA_NONE | MASK, MSIX, 0, 0) == errno.EINVAL
    assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 0) == errno.EINVAL
    assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 0, fds=events()) == errno.EINVAL
    assert client.irqs_error(DATA_BOOL | TRIGGER, MSIX, 0, 0) == errno.EINVAL


@pytest.mark.parametrize("count, fds", [(1, 2), (2, 1), (3, 2), (1, 64), (60, 61)])
def test_descriptors_that_do_not_match_the_count(client, events, count, fds):
    assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, count, fds=events(fds)) == errno.EINVAL
    assert client.irqs_error(DATA_NONE | TRIGGER, MSIX, 0, count, fds=events(1)) == errno.EINVAL
    assert client.irqs_error(DATA_BOOL | TRIGGER, MSIX, 0, count, b"\1" * count, fds=events(1)) == errno.EINVAL


@pytest.mark.parametrize("count, data", [(1, b""), (2, b"\1"), (65, b"\1" * 64)])
def test_fewer_bools_than_vectors(client, count, data):
    assert client.irqs_error(DATA_BOOL | TRIGGER, MSIX, 0, count, data) == errno.EINVAL


def test_client_fires_itself(client, events):
    """NONE and BOOL with TRIGGER: the server signals what the client tells it to."""
    fds = events(4)
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 4, fds)
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 1, 2)
    assert [signals(fd) for fd in fds] == [0, 1, 1, 0]
    client.set_irqs(DATA_BOOL | TRIGGER, MSIX, 0, 4, data=b"\1\0\0\1")
    assert [signals(fd) for fd in fds] == [1, 0, 0, 1]
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 4, 1)  # no eventfd there


def test_unassigning_some(client, events):
    """EVENTFD without descriptors, from a start above zero."""
    fds = events(8)
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 8, fds)
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 3, 2)
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 8)
    assert [signals(fd) for fd in fds] == [1, 1, 1, 0, 0, 1, 1, 1]
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 0)
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 8)
    assert [signals(fd) for fd in fds] == [0] * 8


def test_reassigning(client, events):
    first, second = events(2)
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, [first])
    for _ in range(50):
        client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, [second])
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 1)
    assert (signals(first), signals(second)) == (0, 1)


def test_sixteen_at_a_time(client, events):
    """As cloud-hypervisor does, whatever was offered; and 64, the most we take."""
    fds = events(64)
    assert client.irq_info(MSIX)[1] >= 64
    for start in range(0, 64, 16):
        client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, start, 16, fds[start:start + 16])
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 64, fds)
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 64)
    assert [signals(fd) for fd in fds] == [1] * 64


def test_one_bad_descriptor_spoils_all(client, events):
    good = events(2)
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, [good[0]])
    with open("/dev/null", "wb") as null:
        assert client.irqs_error(DATA_EVENTFD | TRIGGER, MSIX, 0, 2, fds=[good[1], null.fileno()]) == errno.EINVAL
    client.set_irqs(DATA_NONE | TRIGGER, MSIX, 0, 1)
    assert signals(good[1]) == 0, "half of a refused request was carried out"
    assert signals(good[0]) == 1


@pytest.mark.parametrize("index", [MSI, MSIX, ERR_IRQ, REQ_IRQ])
@pytest.mark.parametrize("flags", [DATA_NONE | MASK, DATA_NONE | UNMASK, DATA_EVENTFD | MASK])
def test_masks_belong_to_intx(make_target, index, flags):
    client = make_target(attrs=[("nvme/interrupts", "msi")] if index == MSI else []).qemu()
    if client.irq_info(index)[1]:
        assert client.irqs_error(flags, index, 0, 1) == errno.ENOTTY


def test_error_and_request_interrupts(client, events):
    for index in (ERR_IRQ, REQ_IRQ):
        if client.irq_info(index)[1]:
            fd, = events()
            client.set_irqs(DATA_EVENTFD | TRIGGER, index, 0, 1, [fd])
            client.set_irqs(DATA_NONE | TRIGGER, index, 0, 1)
            assert signals(fd) == 1
            client.set_irqs(DATA_EVENTFD | TRIGGER, index, 0, 1)


# ---- delivery


def identify(nvme: Nvme) -> int:
    """One admin command; returns its id."""
    return nvme.submit(0, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))


def test_msix(target):
    """As QEMU enables it: first no vector, then one by one."""
    nvme = target.drive(queue=False)
    fds = nvme.interrupts(MSIX, 3)
    for qid in (1, 2):
        nvme.io_queue(qid, vector=qid).event = -1  # left to this test to read
    for fd in fds:
        signals(fd)
    nvme.write(0, bytes(512), qid=2)
    assert (signals(fds[2], SOON_S) > 0, signals(fds[1])) == (True, 0)
    nvme.write(0, bytes(512), qid=1)
    assert signals(fds[1], SOON_S) > 0
    nvme.close()


def test_msix_with_a_masked_vector(target, events):
    """The VMM masks: a vector without eventfd is not signalled, and is again when it has one."""
    nvme = target.drive(queue=False)
    fds = nvme.interrupts(MSIX, 1)
    client = nvme.client
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1)
    nvme.wait(0, identify(nvme))
    assert signals(fds[0], NEVER_S) == 0
    other, = events()
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSIX, 0, 1, [other])
    nvme.wait(0, identify(nvme))
    assert signals(other, SOON_S) == 1
    nvme.close()


def test_msi(make_target):
    target = make_target(attrs=[("nvme/interrupts", "msi")])
    nvme = target.drive(queue=False)
    assert not nvme.client.capability(0x11)
    count = nvme.client.irq_info(MSI)[1]
    assert 1 <= count <= 32 and nvme.client.irq_info(MSIX)[1] == 0
    fds = nvme.interrupts(MSI, min(count, 16))
    nvme.queues[0].event = -1  # left to this test to read
    nvme.wait(0, identify(nvme))
    assert signals(fds[0], SOON_S) > 0
    nvme.close()


def test_msi_of_the_null_device(plain, events):
    client = plain.qemu()
    fd, = events()
    client.set_irqs(DATA_EVENTFD | TRIGGER, MSI, 0, 1, [fd])
    at = client.capability(0x05)
    client.write32(0, 8, 1)
    assert signals(fd, NEVER_S) == 0, "MSI is not enabled yet"
    client.write(CONFIG, at + 2, b"\1")
    client.write32(0, 8, 1)
    assert signals(fd, SOON_S) == 1
    client.write(CONFIG, at + 2, b"\0")
    client.write32(0, 8, 1)
    assert signals(fd, NEVER_S) == 0


@pytest.fixture
def level(make_target, events):
    """(controller, eventfd) of a drive that interrupts by INTx, as QEMU sets it up."""
    target = make_target(attrs=[("nvme/interrupts", "intx")])
    nvme = target.drive(queue=False)
    client = nvme.client
    assert client.irq_info(INTX) == (EVENTFD | MASKABLE | AUTOMASKED, 1)
    assert client.read(CONFIG, 0x3d, 1) == b"\1"
    fd, = events()
    client.set_irqs(DATA_EVENTFD | TRIGGER, INTX, 0, 1, [fd])
    signals(fd)
    client.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1)
    signals(fd)
    return nvme, fd


def pending(nvme: Nvme) -> bool:
    """The interrupt status bit of configuration space."""
    return bool(nvme.client.read(CONFIG, 6, 1)[0] & 8)


def complete(nvme: Nvme) -> int:
    """Submits a command without taking its completion; returns when it must be there."""
    cid = identify(nvme)
    for _ in range(1000):
        status, = struct.unpack_from("<H", nvme.memory.read(nvme.queues[0].cq + nvme.queues[0].head * 16, 16), 14)
        if status & 1 == nvme.queues[0].phase:
            return cid
        nvme.client.info()
    pytest.fail("the command does not complete")
    return cid


def test_intx_level(level):
    """Automask on trigger; fired again on unmask as long as the level is high, and not after."""
    nvme, fd = level
    cid = complete(nvme)
    assert signals(fd, SOON_S) == 1
    assert pending(nvme)
    assert signals(fd, NEVER_S) == 0
    for _ in range(3):
        nvme.client.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1)
        assert signals(fd, SOON_S) == 1, "still pending: unmask fires again"
    nvme.wait(0, cid)
    assert not pending(nvme)
    nvme.client.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1)
    assert signals(fd, NEVER_S) == 0
    complete(nvme)
    assert signals(fd, SOON_S) == 1


def test_intx_fires_once_until_unmasked(level):
    nvme, fd = level
    nvme.wait(0, complete(nvme))
    assert signals(fd, SOON_S) == 1
    nvme.wait(0, complete(nvme))
    assert signals(fd, NEVER_S) == 0, "masked since it fired"
    nvme.client.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1)
    assert signals(fd, NEVER_S) == 0, "the level is low again"


def test_intx_mask(level):
    nvme, fd = level
    nvme.client.set_irqs(DATA_NONE | MASK, INTX, 0, 1)
    complete(nvme)
    assert signals(fd, NEVER_S) == 0
    nvme.client.set_irqs(DATA_BOOL | UNMASK, INTX, 0, 1, data=b"\0")
    assert signals(fd, NEVER_S) == 0
    nvme.client.set_irqs(DATA_BOOL | UNMASK, INTX, 0, 1, data=b"\1")
    assert signals(fd, SOON_S) == 1


def test_intx_unmask_by_eventfd(level, events):
    """KVM's way: the unmask comes as a signal on a second eventfd."""
    nvme, fd = level
    resample, = events()
    nvme.client.set_irqs(DATA_EVENTFD | UNMASK, INTX, 0, 1, [resample])
    cid = complete(nvme)
    assert signals(fd, SOON_S) == 1
    for _ in range(3):
        os.eventfd_write(resample, 1)
        assert signals(fd, SOON_S) == 1
    nvme.wait(0, cid)
    os.eventfd_write(resample, 1)
    assert signals(fd, NEVER_S) == 0
    nvme.client.set_irqs(DATA_EVENTFD | UNMASK, INTX, 0, 1)
    complete(nvme)
    assert signals(fd, SOON_S) == 1
    os.eventfd_write(resample, 1)
    assert signals(fd, NEVER_S) == 0, "the second eventfd was taken back"


def test_intx_disabled_in_the_command_register(level):
    nvme, fd = level
    client = nvme.client
    client.write(CONFIG, 4, (0x406).to_bytes(2, "little"))
    complete(nvme)
    assert signals(fd, NEVER_S) == 0
    assert pending(nvme), "the status bit does not depend on the disable bit"
    client.write(CONFIG, 4, (0x006).to_bytes(2, "little"))
    assert signals(fd, SOON_S) == 1


def test_intx_masked_by_the_controller(level):
    nvme, fd = level
    nvme.set_reg(INTMS, 1)
    complete(nvme)
    assert signals(fd, NEVER_S) == 0
    nvme.set_reg(INTMC, 1)
    assert signals(fd, SOON_S) == 1


def test_intx_off_and_on(level, events):
    """QEMU takes it off and arms it again around a reset; a pending level fires the new eventfd."""
    nvme, fd = level
    complete(nvme)
    assert signals(fd, SOON_S) == 1
    nvme.client.set_irqs(DATA_NONE | TRIGGER, INTX, 0, 0)
    other, = events()
    nvme.client.set_irqs(DATA_EVENTFD | TRIGGER, INTX, 0, 1, [other])
    assert signals(other, SOON_S) == 1
    nvme.client.reset()
    assert not pending(nvme)
    nvme.client.set_irqs(DATA_NONE | UNMASK, INTX, 0, 1)
    assert signals(other, NEVER_S) == 0
    assert signals(fd) == 0


@pytest.mark.parametrize("flags, start, count", [
    (DATA_NONE | MASK, 1, 1), (DATA_NONE | UNMASK, 0, 2), (DATA_EVENTFD | TRIGGER, 1, 1), (DATA_EVENTFD | UNMASK, 1, 1),
])
def test_intx_has_one_vector(level, flags, start, count):
    nvme, _ = level
    assert nvme.client.irqs_error(flags, INTX, start, count) == errno.EINVAL


def test_resample_descriptor_of_the_wrong_kind(level):
    """What is readable for ever, or closed at the other end, must not keep the host busy."""
    nvme, _ = level
    reader, writer = os.pipe()
    os.close(writer)
    assert nvme.client.irqs_error(DATA_EVENTFD | UNMASK, INTX, 0, 1, fds=[reader]) == errno.EINVAL
    os.close(reader)
    assert nvme.client.info()[0] & 2
